#include "peers/bare_server.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace onced::bench {
namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

sockaddr_un address_of(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

int listen_at(const std::filesystem::path& path) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = address_of(path);
  if (listener < 0 || ::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener, SOMAXCONN) != 0) {
    throw_errno("listen");
  }
  return listener;
}

void send_message(int socket, const BareMessage& message) {
  if (::send(socket, &message, sizeof message, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof message))
    throw_errno("send");
}

class Loop {
 public:
  explicit Loop(int listener) : listener_(listener), epoll_(::epoll_create1(EPOLL_CLOEXEC)) { add(listener); }

  [[noreturn]] void run() {
    epoll_event ready[64];
    for (;;) {
      const int count = ::epoll_wait(epoll_, ready, std::size(ready), -1);
      for (int i = 0; i < count; ++i) {
        if (ready[i].data.fd == listener_) {
          add(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
        } else {
          serve(ready[i].data.fd);
        }
      }
    }
  }

 private:
  void add(int socket) {
    epoll_event interest{};
    interest.events = EPOLLIN;
    interest.data.fd = socket;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, socket, &interest) != 0) throw_errno("epoll_ctl");
  }

  void serve(int socket) {
    BareMessage message;
    if (::recv(socket, &message, sizeof message, 0) != static_cast<ssize_t>(sizeof message)) {
      std::erase(waiting_, socket);
      ::close(socket);
      return;
    }
    switch (message.kind) {
      case BareMessage::Kind::ping:
        send_message(socket, message);
        break;
      case BareMessage::Kind::wait:
        waiting_.push_back(socket);
        break;
      case BareMessage::Kind::publish:
        for (const int waiter : waiting_) send_message(waiter, message);
        waiting_.clear();
        break;
      case BareMessage::Kind::count:
        message.number = waiting_.size();
        send_message(socket, message);
        break;
    }
  }

  int listener_;
  int epoll_;
  std::vector<int> waiting_;
};

}  // namespace

BareServer::BareServer()
    : listener_(listen_at(socket_path())), process_(ChildProcess::run([this]() -> int { Loop(listener_).run(); })) {
  ::close(listener_);
}

BareClient::BareClient(const BareServer& server) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_un address = address_of(server.socket_path());
  if (socket_ < 0 || ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw_errno("connect to the bare server");
  }
}

BareClient::~BareClient() {
  ::close(socket_);
}

void BareClient::send(const BareMessage& message) {
  send_message(socket_, message);
}

BareMessage BareClient::receive() {
  BareMessage message;
  if (::recv(socket_, &message, sizeof message, MSG_WAITALL) != static_cast<ssize_t>(sizeof message))
    throw_errno("recv");
  return message;
}

}  // namespace onced::bench
