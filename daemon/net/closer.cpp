#include "net/closer.hpp"

#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>
#include <span>
#include <unordered_map>
#include <utility>

#include "net/socket_io.hpp"

namespace onced::net {
namespace {

constexpr std::chrono::milliseconds patience{1000};  // at the end of the daemon, for what is still to be closed

}  // namespace

struct Closer::State {
  struct Item {
    int descriptor = -1;
    Kind kind = Kind::own;
    User user = nobody;
    std::function<void()> closed{};
  };

  explicit State(Options options_in) : options(std::move(options_in)) {
    // Shared, because this thread may outlive the other closer.
    if (options.foreign != nullptr) foreign = options.foreign->state_;
  }

  const Options options;
  std::shared_ptr<State> foreign;
  std::mutex mutex;
  std::deque<Item> waiting;                        // under mutex
  std::unordered_map<User, std::size_t> of_users;  // under mutex: waiting, and being closed
  bool stopping = false;                           // under mutex
  // Counts changes of what is under the mutex: the thread waits for it to change. Release by give(); acquire by the thread.
  std::atomic<std::uint32_t> changes{0};
  // Of all users, without those that count for nobody. Relaxed: usually 0, and then nobody need ask further.
  std::atomic<std::size_t> users_waiting{0};
  std::atomic<std::uint64_t> closed{0};     // relaxed: a statistic
  std::atomic<std::uint64_t> abandoned{0};  // relaxed: a statistic

  void push(Item item) {
    {
      const std::lock_guard lock(mutex);
      if (waiting.size() >= options.waiting_max) {
        abandoned.fetch_add(1, std::memory_order_relaxed);
        return;
      }
      // Our own ends of connections need no counting where nothing foreign is closed.
      if (counts(item)) {
        ++of_users[item.user];
        users_waiting.fetch_add(1, std::memory_order_relaxed);
      }
      waiting.push_back(std::move(item));
    }
    changed();
  }

  bool counts(const Item& item) const {
    return item.user != nobody && (item.kind == Kind::foreign || (item.kind == Kind::connection && foreign == nullptr));
  }

  void changed() {
    changes.fetch_add(1, std::memory_order_release);
    changes.notify_one();
  }

  bool overfull(User user) {
    if (users_waiting.load(std::memory_order_relaxed) < limits::foreign_descriptors_waiting_max) return false;
    const std::lock_guard lock(mutex);
    const auto found = of_users.find(user);
    return found != of_users.end() && found->second >= limits::foreign_descriptors_waiting_max;
  }

  void done(const Item& item) {
    closed.fetch_add(1, std::memory_order_relaxed);
    if (item.closed) item.closed();
    if (!counts(item)) return;
    const std::lock_guard lock(mutex);
    const auto found = of_users.find(item.user);
    if (--found->second == 0) of_users.erase(found);
    users_waiting.fetch_sub(1, std::memory_order_relaxed);
  }

  void close_one(const Item& item) {
    if (item.kind == Kind::connection && !empty_queue(item)) return;
    if (item.kind == Kind::foreign) unlinger(item.descriptor);
    options.close(item.descriptor);
    done(item);
  }

  // The last reference to a lingering socket would wait in close(). Whoever else has one may switch it on again, but then
  // ours is not the last. Not a socket: no matter.
  static void unlinger(int descriptor) {
    const linger off{0, 0};
    ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
  }

  // Closing a socket also drops the descriptors that lie unread in its queue: takes them out, so that they are closed as
  // foreign ones. False: the socket is now the foreign closer's, which takes out no more at a time than it closes.
  bool empty_queue(const Item& connection) {
    ::shutdown(connection.descriptor, SHUT_RDWR);  // nothing is added from here on
    char buffer[16 * 1024];
    for (;;) {
      if (foreign != nullptr && foreign->overfull(connection.user)) {
        foreign->push(connection);
        closed.fetch_add(1, std::memory_order_relaxed);
        return false;
      }
      const Received received = receive(connection.descriptor, std::as_writable_bytes(std::span(buffer)));
      for (const int descriptor : received.descriptors) {
        if (foreign != nullptr) {
          foreign->push({descriptor, Kind::foreign, connection.user, {}});
        } else {
          unlinger(descriptor);
          options.close(descriptor);
          closed.fetch_add(1, std::memory_order_relaxed);
        }
      }
      if (received.kind != Received::Kind::bytes && received.kind != Received::Kind::descriptors) return true;
    }
  }

  void run() {
    for (;;) {
      const std::uint32_t seen = changes.load(std::memory_order_acquire);
      Item item;
      bool stop = false;
      {
        const std::lock_guard lock(mutex);
        if (!waiting.empty()) {
          item = std::move(waiting.front());
          waiting.pop_front();
        } else {
          stop = stopping;
        }
      }
      if (item.descriptor >= 0) close_one(item);
      else if (stop) return;
      else changes.wait(seen, std::memory_order_acquire);
    }
  }
};

Closer::Closer(Options options)
    : state_(std::make_shared<State>(std::move(options))), thread_([state = state_] { state->run(); }) {}

Closer::~Closer() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->changed();
  thread_.stop(patience);
}

void Closer::give(int descriptor, Kind kind, User user, std::function<void()> closed) {
  if (descriptor >= 0) state_->push({descriptor, kind, user, std::move(closed)});
}

bool Closer::overfull(User user) const { return state_->overfull(user); }

std::uint64_t Closer::closed() const { return state_->closed.load(std::memory_order_relaxed); }
std::uint64_t Closer::abandoned() const { return state_->abandoned.load(std::memory_order_relaxed); }

}  // namespace onced::net
