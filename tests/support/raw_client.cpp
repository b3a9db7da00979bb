#include "support/raw_client.hpp"

namespace onced::testing {

RawClient::RawClient(const std::string& path) : frames_(64 * 1024 * 1024) {
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (socket_ < 0 || ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    const int error = errno;
    close();
    throw std::system_error(error, std::generic_category(), "connect " + path);
  }
}

RawClient::RawClient(RawClient&& other) noexcept : socket_(std::exchange(other.socket_, -1)), frames_(std::move(other.frames_)),
      descriptors_(std::exchange(other.descriptors_, {})) {}

RawClient::~RawClient() { close(); }

void RawClient::close() {
  if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  for (const int descriptor : std::exchange(descriptors_, {})) ::close(descriptor);
}

int RawClient::take_descriptor() {
  if (descriptors_.empty()) throw std::runtime_error("no descriptor has come");
  const int first = descriptors_.front();
  descriptors_.erase(descriptors_.begin());
  return first;
}

bool RawClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && (errno == EPIPE || errno == ECONNRESET)) return false;
    if (count < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "send");
    if (count > 0) bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

bool RawClient::request(protocol::RequestId id, const protocol::Request& request) { return send(encoded(id, request)); }

std::string RawClient::encoded(protocol::RequestId id, const protocol::Request& request) {
  std::string bytes;
  protocol::encode(id, request, bytes);
  return bytes;
}

std::string RawClient::frame(std::uint32_t payload_bytes, std::uint16_t type, std::uint64_t id, std::string_view payload) {
  std::uint8_t header[protocol::frame_header_bytes];
  protocol::encode_header({payload_bytes, type, id}, header);
  return std::string(reinterpret_cast<const char*>(header), sizeof(header)) + std::string(payload);
}

protocol::Hello RawClient::hello_message(bool wants_mapping) {
  protocol::Hello hello;
  hello.protocol_version = limits::protocol_version;
  hello.namespace_name = "default";
  hello.client_name = "test";
  hello.wants_mapping = wants_mapping;
  return hello;
}

protocol::Welcome RawClient::hello(bool wants_mapping, const std::string& namespace_name) {
  protocol::Hello message = hello_message(wants_mapping);
  message.namespace_name = namespace_name;
  request(1, message);
  auto answer = receive();
  if (!answer) throw std::runtime_error("the daemon hung up instead of saying WELCOME");
  if (auto* welcome = std::get_if<protocol::Welcome>(&answer->second)) return *welcome;
  if (auto* refused = std::get_if<protocol::Refused>(&answer->second)) throw std::runtime_error(refused->text);
  throw std::runtime_error("no WELCOME");
}

std::optional<std::pair<protocol::RequestId, protocol::Reply>> RawClient::receive() {
  for (;;) {
    auto frame = frames_.next();
    if (!frame) throw std::runtime_error("the daemon's stream is broken: " + frame.error().text);
    if (*frame) {
      auto reply = protocol::decode_reply((**frame).header.type, (**frame).payload);
      if (!reply) throw std::runtime_error("the daemon's message is broken: " + reply.error().text);
      return std::pair((**frame).header.request_id, std::move(*reply));
    }
    if (!receive_bytes()) return std::nullopt;
  }
}

std::optional<protocol::Refused> RawClient::receive_end() {
  std::optional<protocol::Refused> last;
  while (auto answer = receive()) {
    if (auto* refused = std::get_if<protocol::Refused>(&answer->second)) last = *refused;
  }
  return last;
}

void RawClient::shut_down_writing() { ::shutdown(socket_, SHUT_WR); }

bool RawClient::receive_bytes() {
  pollfd wait{socket_, POLLIN, 0};
  const auto limit = std::chrono::milliseconds(watchdog_limit).count();
  if (::poll(&wait, 1, static_cast<int>(limit)) != 1) throw std::runtime_error("watchdog: the daemon does not answer");
  const std::span<std::byte> room = frames_.room();
  iovec vector{room.data(), room.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t count = ::recvmsg(socket_, &message, MSG_CMSG_CLOEXEC);
  if (count < 0 && errno == ECONNRESET) return false;
  if (count < 0) throw std::system_error(errno, std::generic_category(), "recvmsg");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    const std::size_t numbers = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < numbers; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      descriptors_.push_back(descriptor);
    }
  }
  frames_.received(static_cast<std::size_t>(count));
  return count > 0;
}

}  // namespace onced::testing
