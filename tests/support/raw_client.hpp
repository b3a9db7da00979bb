// A client that speaks frames by hand, well or badly: for tests of what the daemon does with them.
//
// All waits are under the watchdog. Errors throw, except where a function says that the end of the connection is an answer.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/limits.hpp>
#include <onced/protocol/messages.hpp>

#include "support/watchdog.hpp"

namespace onced::testing {

class RawClient {
 public:
  explicit RawClient(const std::string& path);
  RawClient(RawClient&& other) noexcept;
  RawClient& operator=(RawClient&&) = delete;
  ~RawClient();

  void close();
  int socket() const { return socket_; }
  // What came with frames so far; they stay this object's.
  const std::vector<int>& descriptors() const { return descriptors_; }

  // The one that came first of those not taken yet: the caller's from now on.
  int take_descriptor();

  // False: the daemon has ended the connection.
  bool send(std::string_view bytes);
  bool request(protocol::RequestId id, const protocol::Request& request);

  static std::string encoded(protocol::RequestId id, const protocol::Request& request);
  // A frame with any header and payload.
  static std::string frame(std::uint32_t payload_bytes, std::uint16_t type, std::uint64_t id, std::string_view payload);
  static protocol::Hello hello_message(bool wants_mapping);

  protocol::Welcome hello(bool wants_mapping = false, const std::string& namespace_name = "default");

  // The next message; nothing: the daemon has ended the connection.
  std::optional<std::pair<protocol::RequestId, protocol::Reply>> receive();
  // As receive(), of one kind; everything else throws.
  template <typename Wanted>
  Wanted receive_only() {
    auto answer = receive();
    if (!answer) throw std::runtime_error("the daemon hung up");
    if (auto* wanted = std::get_if<Wanted>(&answer->second)) return std::move(*wanted);
    if (auto* refused = std::get_if<protocol::Refused>(&answer->second)) throw std::runtime_error("refused: " + refused->text);
    throw std::runtime_error("another message than expected, alternative " + std::to_string(answer->second.index()));
  }
  // Reads on until the daemon ends the connection: why it said it did, or nothing.
  std::optional<protocol::Refused> receive_end();
  // Nothing more comes from here: the daemon takes it for a hang-up.
  void shut_down_writing();

 private:
  bool receive_bytes();

  int socket_ = -1;
  protocol::FrameReader frames_;
  std::vector<int> descriptors_;
};

}  // namespace onced::testing
