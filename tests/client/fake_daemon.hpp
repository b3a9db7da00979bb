// A daemon that does exactly what a test tells it: for answers that a real one gives late, out of order or not at all.
//
// Its segment is a real one (memory::SegmentStore over a sealed memfd). Every wait is under the watchdog.
// Threads: one at a time; the client under test runs in threads or processes of its own.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/key.hpp>
#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/pin_page.hpp>

#include "descriptor.hpp"
#include "memory/segment_store.hpp"
#include "support/temp_directory.hpp"
#include "support/watchdog.hpp"

namespace onced::testing {

inline Key key_named(std::string_view function, int argument = 0) {
  auto key = KeyBuilder(function).add(argument).build();
  if (!key) throw std::runtime_error(key.error().text);
  return *key;
}

// Memory that is passed to a client, mapped here.
struct SharedMemory {
  SharedMemory(const char* name, std::size_t size, int seals);
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  client_detail::Descriptor descriptor;
  void* address = nullptr;
  std::size_t bytes;
};

inline constexpr int segment_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
inline constexpr int pin_page_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// One connection, from the daemon's side.
class FakeConnection {
 public:
  explicit FakeConnection(int descriptor);

  template <typename Message>
  struct Received {
    protocol::RequestId id;
    Message message;
  };
  // The next request, which must be of this type.
  template <typename Message>
  Received<Message> expect() {
    auto [id, request] = next_request();
    if (!std::holds_alternative<Message>(request)) {
      throw std::runtime_error("request of type " + std::to_string(protocol::type_of(request)) + " came instead");
    }
    return {id, std::get<Message>(std::move(request))};
  }
  std::pair<protocol::RequestId, protocol::Request> next_request();
  // The client end is closed in every process. Requests that came before are dropped.
  void expect_closed();
  bool readable() const;

  void send(protocol::RequestId id, const protocol::Reply& reply);
  static std::string frame(protocol::RequestId id, const protocol::Reply& reply);
  void send_raw(std::string_view bytes, const std::vector<int>& descriptors = {});
  void close();
  int descriptor() const;

 private:
  std::size_t receive();

  client_detail::Descriptor socket_;
  protocol::FrameReader reader_;
};

// A namespace: its segment and the pin page of one connection at a time.
class FakeNamespace {
 public:
  explicit FakeNamespace(std::uint64_t epoch = 1);
  struct Life {
    std::uint64_t fresh_until_ms = protocol::never_expires;
    std::uint32_t early_ms = 0;
    std::uint32_t grace_ms = 0;
    bool refreshing = false;
    std::uint64_t version = 1;
  };
  engine::RecordRef place(const Key& key, std::string bytes);
  engine::RecordRef place(const Key& key, std::string bytes, const Life& life, std::optional<engine::RecordRef> replaces = std::nullopt);
  // As the kernel does when the daemon dies.
  void die();
  std::size_t pins_set() const;
  std::vector<int> descriptors() const;

  static constexpr engine::ConnectionId connection{1};
  SharedMemory segment;
  SharedMemory pins;
  std::unique_ptr<memory::SegmentStore> store;
  protocol::PinPage* page;
  protocol::Welcome welcome;
};

// The listening socket.
class FakeDaemon {
 public:
  FakeDaemon();
  const std::string& path() const { return path_; }

  void listen();
  void stop_listening();
  bool somebody_connects() const;
  FakeConnection accept();
  // Accepts, hears the Hello and answers with a Welcome and the namespace's memory.
  FakeConnection welcome(const FakeNamespace& space);

 private:
  TempDirectory directory_;
  std::string path_;
  client_detail::Descriptor listener_;
};

}  // namespace onced::testing
