#include "net/listener.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <onced/protocol/messages.hpp>

#include "net/socket_io.hpp"

namespace onced::net {
namespace {

memory::FileDescriptor open_reserve() { return memory::FileDescriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace

void send_refusal(int socket, const Error& error) {
  std::string bytes;
  protocol::encode(0, protocol::Reply(protocol::Refused{error.code, error.text}), bytes);
  static_cast<void>(send(socket, std::as_bytes(std::span(bytes))));
}

Listener::Listener(boost::asio::io_context& context, Closer& closer, Accepted accepted, LogFunction log)
    : stream_(context), timer_(context), closer_(closer), accepted_(std::move(accepted)), log_(std::move(log)) {}

Result<void> Listener::start(int socket) {
  boost::system::error_code error;
  stream_.assign(socket, error);
  if (error) return Error{ErrorCode::internal, "cannot watch the listening socket: " + error.message()};
  reserve_ = open_reserve();
  wait();
  return {};
}

void Listener::stop() {
  timer_.cancel();
  if (stream_.is_open()) stream_.release();
}

void Listener::wait() {
  stream_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
    if (!error && stream_.is_open()) accept_some();
  });
}

void Listener::accept_some() {
  for (int i = 0; i < accepts_per_turn && stream_.is_open(); ++i) {
    const int socket = ::accept4(stream_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket >= 0) {
      exhausted_ = false;
      accepted_(memory::FileDescriptor(socket));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    if (errno == EINTR || errno == ECONNABORTED) continue;
    const int error = errno;
    if (!exhausted_) {
      log_(LogLevel::error, std::string("cannot accept connections: ") + std::strerror(error) +
                                (error == EMFILE || error == ENFILE ? "; raise LimitNOFILE of the service" : ""));
    }
    exhausted_ = true;
    if (error == EMFILE || error == ENFILE) shed();
    pause();
    return;
  }
  if (stream_.is_open()) wait();
}

void Listener::shed() {
  reserve_ = {};
  const int socket = ::accept4(stream_.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket < 0) return;
  send_refusal(socket, Error{ErrorCode::limit_reached,
                             "the daemon has no descriptor left for another connection; raise LimitNOFILE of its service"});
  closer_.give(socket, Closer::Kind::connection);
}

void Listener::pause() {
  timer_.expires_after(pause_length);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || !stream_.is_open()) return;
    if (!reserve_) reserve_ = open_reserve();
    accept_some();
  });
}

}  // namespace onced::net
