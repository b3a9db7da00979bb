#include "net/closer.hpp"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <deque>
#include <mutex>
#include <span>
#include <utility>

#include "memory/file_descriptor.hpp"
#include "net/socket_io.hpp"

namespace onced::net {
namespace {

constexpr int patience_ms = 1000;  // at the end of the daemon, for what is still to be closed

}  // namespace

struct Closer::State {
  struct Item {
    int descriptor;
    Kind kind;
  };
  std::mutex mutex;
  std::deque<Item> waiting;            // under mutex
  bool stopping = false;               // under mutex
  // Counts changes of the two above: the thread waits for it to change. Release by give(); acquire by the thread.
  std::atomic<std::uint32_t> changes{0};
  std::atomic<std::uint64_t> closed{0};     // relaxed: a statistic
  std::atomic<std::uint64_t> abandoned{0};  // relaxed: a statistic
  memory::FileDescriptor finished{::eventfd(0, EFD_CLOEXEC)};  // readable when the thread is about to return
  // Where foreign descriptors go; shared, because this thread may outlive the other closer.
  std::shared_ptr<State> foreign;

  bool push(int descriptor, Kind kind) {
    {
      const std::lock_guard lock(mutex);
      if (waiting.size() >= waiting_max) return false;
      waiting.push_back({descriptor, kind});
    }
    changed();
    return true;
  }

  void changed() {
    changes.fetch_add(1, std::memory_order_release);
    changes.notify_one();
  }

  void close_one(const Item& item) {
    if (item.kind == Kind::foreign) {
      // The last reference to a lingering socket would wait here. Whoever else has one may switch it on again, but then
      // ours is not the last. Not a socket: no matter.
      const linger off{0, 0};
      ::setsockopt(item.descriptor, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
    } else {
      close_connection(item.descriptor);
      closed.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    ::close(item.descriptor);
    closed.fetch_add(1, std::memory_order_relaxed);
  }

  // Closing a socket also drops the descriptors that lie unread in its queue: take them out, so that they are closed as
  // foreign ones.
  void close_connection(int socket) {
    ::shutdown(socket, SHUT_RDWR);  // nothing is added from here on
    char buffer[16 * 1024];
    for (;;) {
      const Received received = receive(socket, std::as_writable_bytes(std::span(buffer)));
      for (const int descriptor : received.descriptors) {
        if (foreign == nullptr) close_one({descriptor, Kind::foreign});
        else if (!foreign->push(descriptor, Kind::foreign)) foreign->abandoned.fetch_add(1, std::memory_order_relaxed);
      }
      if (received.kind != Received::Kind::bytes && received.kind != Received::Kind::descriptors) break;
    }
    ::close(socket);
  }

  void run() {
    for (;;) {
      const std::uint32_t seen = changes.load(std::memory_order_acquire);
      Item item{-1, Kind::foreign};
      bool stop = false;
      {
        const std::lock_guard lock(mutex);
        if (!waiting.empty()) {
          item = waiting.front();
          waiting.pop_front();
        } else {
          stop = stopping;
        }
      }
      if (item.descriptor >= 0) close_one(item);
      else if (stop) break;
      else changes.wait(seen, std::memory_order_acquire);
    }
    ::eventfd_write(finished.get(), 1);
  }
};

Closer::Closer(Closer* foreign) : state_(std::make_shared<State>()) {
  if (foreign != nullptr) state_->foreign = foreign->state_;
  // Signals are the loop's business.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([state = state_] { state->run(); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Closer::~Closer() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed();
  pollfd finished{state_->finished.get(), POLLIN, 0};
  if (::poll(&finished, 1, patience_ms) == 1) thread_.join();
  else thread_.detach();
}

void Closer::give(int descriptor, Kind kind) {
  if (descriptor < 0) return;
  if (!state_->push(descriptor, kind)) state_->abandoned.fetch_add(1, std::memory_order_relaxed);
}

std::uint64_t Closer::closed() const { return state_->closed.load(std::memory_order_relaxed); }
std::uint64_t Closer::abandoned() const { return state_->abandoned.load(std::memory_order_relaxed); }

}  // namespace onced::net
