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
  SharedMemory(const char* name, std::size_t size, int seals) : bytes(size) {
    descriptor = client_detail::Descriptor(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (ftruncate(descriptor.number(), static_cast<off_t>(size)) != 0) throw std::runtime_error("ftruncate");
    address = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.number(), 0);
    if (address == MAP_FAILED || fcntl(descriptor.number(), F_ADD_SEALS, seals) != 0) throw std::runtime_error("memfd");
  }
  ~SharedMemory() { munmap(address, bytes); }
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
  explicit FakeConnection(int descriptor) : socket_(descriptor), reader_(limits::frame_payload_bytes_max) {}

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
  std::pair<protocol::RequestId, protocol::Request> next_request() {
    for (;;) {
      auto frame = reader_.next();
      if (!frame) throw std::runtime_error(frame.error().text);
      if (frame->has_value()) {
        auto request = protocol::decode_request((*frame)->header.type, (*frame)->payload);
        if (!request) throw std::runtime_error(request.error().text);
        return {(*frame)->header.request_id, std::move(*request)};
      }
      const std::size_t bytes = receive();
      if (bytes == 0) throw std::runtime_error("the client closed");
    }
  }
  // The client end is closed in every process. Requests that came before are dropped.
  void expect_closed() {
    while (receive() > 0) {
      for (auto frame = reader_.next(); frame.ok() && frame->has_value(); frame = reader_.next()) {
      }
    }
  }
  bool readable() const {
    pollfd entry{socket_.number(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
  }

  void send(protocol::RequestId id, const protocol::Reply& reply) { send_raw(frame(id, reply)); }
  static std::string frame(protocol::RequestId id, const protocol::Reply& reply) {
    std::string bytes;
    protocol::encode(id, reply, bytes);
    return bytes;
  }
  void send_raw(std::string_view bytes, const std::vector<int>& descriptors = {}) {
    while (!bytes.empty()) {
      iovec vector{const_cast<char*>(bytes.data()), bytes.size()};
      alignas(cmsghdr) char control[CMSG_SPACE(16 * sizeof(int))] = {};
      msghdr message{};
      message.msg_iov = &vector;
      message.msg_iovlen = 1;
      if (!descriptors.empty()) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
        std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
      }
      const ssize_t sent = ::sendmsg(socket_.number(), &message, MSG_NOSIGNAL);
      if (sent < 0) throw std::runtime_error(std::string("send: ") + std::strerror(errno));
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void close() { socket_ = client_detail::Descriptor(); }
  int descriptor() const { return socket_.number(); }

 private:
  std::size_t receive() {
    pollfd entry{socket_.number(), POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog_limit).count();
    if (::poll(&entry, 1, static_cast<int>(limit)) <= 0) throw std::runtime_error("watchdog: the client sends nothing");
    const auto room = reader_.room();
    const ssize_t bytes = ::recv(socket_.number(), room.data(), room.size(), 0);
    if (bytes < 0 && errno == ECONNRESET) return 0;
    if (bytes < 0) throw std::runtime_error(std::string("receive: ") + std::strerror(errno));
    reader_.received(static_cast<std::size_t>(bytes));
    return static_cast<std::size_t>(bytes);
  }

  client_detail::Descriptor socket_;
  protocol::FrameReader reader_;
};

// A namespace: its segment and the pin page of one connection at a time.
class FakeNamespace {
 public:
  explicit FakeNamespace(std::uint64_t epoch = 1)
      : segment("segment", 1024 * 1024, segment_seals), pins("pins", sizeof(protocol::PinPage), pin_page_seals) {
    auto made = memory::SegmentStore::create({static_cast<std::byte*>(segment.address), segment.bytes}, 42, epoch, {},
                                             memory::kernel_reader_barrier());
    if (!made) throw std::runtime_error(made.error().text);
    store = std::move(*made);
    page = new (pins.address) protocol::PinPage{};
    page->magic = protocol::pin_page_magic;
    page->layout_version = protocol::pin_page_layout_version;
    store->add_page(connection, *page);
    welcome.protocol_version = limits::protocol_version;
    welcome.epoch = epoch;
    welcome.segment_bytes = segment.bytes;
    welcome.pin_page_bytes = pins.bytes;
  }
  struct Life {
    std::uint64_t fresh_until_ms = protocol::never_expires;
    std::uint32_t early_ms = 0;
    std::uint32_t grace_ms = 0;
    bool refreshing = false;
    std::uint64_t version = 1;
  };
  engine::RecordRef place(const Key& key, std::string bytes) { return place(key, std::move(bytes), Life()); }
  engine::RecordRef place(const Key& key, std::string bytes, const Life& life, std::optional<engine::RecordRef> replaces = std::nullopt) {
    const std::vector<protocol::Part> parts{{"", "text/plain", std::move(bytes)}};
    engine::RecordImage image;
    image.key = key.bytes();
    image.parts = &parts;
    image.version = life.version;
    image.fresh_until_ms = life.fresh_until_ms;
    image.early_ms = life.early_ms;
    image.grace_ms = life.grace_ms;
    const engine::RecordRef record = store->place(image, replaces).record;
    if (life.refreshing) store->set_refreshing(record, true);
    return record;
  }
  // As the kernel does when the daemon dies.
  void die() { store->life_word().store(protocol::life_owner_died, std::memory_order_release); }
  std::size_t pins_set() const {
    std::size_t count = 0;
    for (std::uint32_t pin = 0; pin < protocol::client_pins + protocol::granted_pins; ++pin) {
      count += protocol::pin_at(*page, pin).load() != 0;
    }
    return count;
  }
  std::vector<int> descriptors() const { return {segment.descriptor.number(), pins.descriptor.number()}; }

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
  FakeDaemon() : path_((directory_ / "fake.sock").string()) { listen(); }
  const std::string& path() const { return path_; }

  void listen() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    ::unlink(path_.c_str());
    listener_ = client_detail::Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::bind(listener_.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        ::listen(listener_.number(), 64) != 0) {
      throw std::runtime_error(std::string("listen: ") + std::strerror(errno));
    }
  }
  void stop_listening() { listener_ = client_detail::Descriptor(); }
  bool somebody_connects() const {
    pollfd entry{listener_.number(), POLLIN, 0};
    return ::poll(&entry, 1, 0) > 0;
  }
  FakeConnection accept() {
    pollfd entry{listener_.number(), POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(watchdog_limit).count();
    if (::poll(&entry, 1, static_cast<int>(limit)) <= 0) throw std::runtime_error("watchdog: nobody connects");
    return FakeConnection(::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
  }
  // Accepts, hears the Hello and answers with a Welcome and the namespace's memory.
  FakeConnection welcome(const FakeNamespace& space) {
    FakeConnection connection = accept();
    const auto hello = connection.expect<protocol::Hello>();
    connection.send_raw(FakeConnection::frame(hello.id, space.welcome), space.descriptors());
    return connection;
  }

 private:
  TempDirectory directory_;
  std::string path_;
  client_detail::Descriptor listener_;
};

}  // namespace onced::testing
