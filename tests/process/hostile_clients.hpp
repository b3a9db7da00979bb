// Clients that do harm as well as they can: for tests and measurements of what others notice of them.
//
// They share a few processes, each with its part of all kinds, and go on until they are killed. What the daemon does to them
// (refuses, hangs up) they take as it comes and connect anew.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <onced/protocol/key.hpp>
#include <onced/protocol/pin_page.hpp>

#include "support/descriptor_passing.hpp"
#include "support/other_user.hpp"
#include "support/raw_client.hpp"

namespace onced::testing {

enum class Hostility : std::uint8_t {
  floods,             // requests as fast as the socket takes them; answers are thrown away
  slow_bytes,         // a request, one byte at a time, never whole for long
  scribbles,          // maps its pin page and writes nonsense over all of it, again and again
  never_reads,        // asks for large answers and reads none
  reserve_and_leave,  // reserves memory and hangs up, or reads the descriptor first
  lease_and_hang,     // takes leases, and waits for its own keys on other connections
  fork_and_die,       // a child connects, takes a lease and dies
  knocks,             // asks for a namespace that is not its own, or sends garbage or a descriptor instead of HELLO
};
inline constexpr std::size_t hostilities = 8;
inline constexpr std::array<std::string_view, hostilities> hostility_names{
    "floods", "slow bytes", "scribbles", "never reads", "reserves and leaves", "leases and hangs", "forks and dies", "knocks"};

// Counted by the hostile processes in memory that the test reads, too.
struct HostileCounts {
  std::array<std::atomic<std::uint64_t>, hostilities> actions{};
  std::atomic<std::uint64_t> connected{0};
  std::atomic<std::uint64_t> let_in_elsewhere{0};  // a namespace that is not theirs said Welcome: never
};

// One connection of one kind; turn() does a bounded amount of harm and never waits.
class HostileClient {
 public:
  HostileClient(Hostility kind, const std::string& socket, const std::string& home, const std::string& forbidden, HostileCounts& counts, unsigned seed)
      : kind_(kind), socket_(socket), home_(home), forbidden_(forbidden), counts_(counts), random_(seed) {}
  ~HostileClient() { hang_up(); }
  HostileClient(const HostileClient&) = delete;
  HostileClient& operator=(const HostileClient&) = delete;

  void turn() {
    if (kind_ == Hostility::fork_and_die) return die_in_a_child();
    if (kind_ == Hostility::knocks) return knock();
    if (!client_ && !connect()) return;
    switch (kind_) {
      case Hostility::floods: flood(); break;
      case Hostility::slow_bytes: send_a_byte(); break;
      case Hostility::scribbles: scribble(); break;
      case Hostility::never_reads: ask_and_not_read(); break;
      case Hostility::reserve_and_leave: reserve(); break;
      case Hostility::lease_and_hang: lease(); break;
      case Hostility::fork_and_die:
      case Hostility::knocks: break;
    }
  }

 private:
  void count() { counts_.actions[static_cast<std::size_t>(kind_)].fetch_add(1, std::memory_order_relaxed); }

  bool connect() {
    try {
      client_.emplace(socket_);
      ::fcntl(client_->socket(), F_SETFL, O_NONBLOCK);
    } catch (const std::exception&) {
      return false;  // the backlog is full, or the daemon refuses
    }
    counts_.connected.fetch_add(1, std::memory_order_relaxed);
    protocol::Hello hello = RawClient::hello_message(kind_ == Hostility::scribbles);
    hello.namespace_name = home_;
    return put(RawClient::encoded(1, hello));
  }
  void hang_up() {
    if (page_ != nullptr) ::munmap(std::exchange(page_, nullptr), sizeof(protocol::PinPage));
    for (const int one : std::exchange(descriptors_, {})) ::close(one);
    client_.reset();
    next_id_ = 2;
    pending_.clear();
  }
  // As much of it as the socket takes now; false: it took not all, or the connection is over.
  bool put(std::string_view bytes) {
    pending_ += bytes;
    while (!pending_.empty()) {
      const ssize_t sent = ::send(client_->socket(), pending_.data(), pending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
      if (sent <= 0) {
        hang_up();
        return false;
      }
      pending_.erase(0, static_cast<std::size_t>(sent));
    }
    return true;
  }
  // Throws away what has come, and keeps descriptors. False: the daemon has hung up.
  bool drain() {
    char bytes[16 * 1024];
    for (int i = 0; i < 8; ++i) {
      iovec vector{bytes, sizeof(bytes)};
      alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))];
      msghdr message{};
      message.msg_iov = &vector;
      message.msg_iovlen = 1;
      message.msg_control = control;
      message.msg_controllen = sizeof(control);
      const ssize_t count = ::recvmsg(client_->socket(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (count < 0 && errno == EAGAIN) return true;
      if (count <= 0) {
        hang_up();
        return false;
      }
      for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        const std::size_t numbers = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t n = 0; n < numbers; ++n) {
          int one = -1;
          std::memcpy(&one, CMSG_DATA(header) + n * sizeof(int), sizeof(int));
          descriptors_.push_back(one);
        }
      }
    }
    return true;
  }

  std::string key() {
    // Few keys for many clients: they wait for each other. The same names as the well-behaved use, in another namespace.
    auto built = KeyBuilder("work").add(static_cast<std::int64_t>(random_() % 64)).build();
    return std::string(built.value().bytes());
  }
  protocol::Request any_request() {
    switch (random_() % 8) {
      case 0: return protocol::GetStatus{};
      case 1: return protocol::Explain{key()};
      case 2: return protocol::List{};
      case 3: return protocol::Put{key(), {{"", "", std::string(random_() % 2000, 'h')}}, {}};
      case 4: return protocol::Invalidate{{protocol::ScopeKind::everything, {}}, false};
      case 5: return protocol::Cancel{{protocol::ScopeKind::everything, {}}};
      case 6: return protocol::Unsubscribe{random_()};
      default: {
        protocol::Acquire acquire;
        acquire.key = key();
        acquire.wait_ms = random_() % 2 == 0 ? 0 : 60'000;
        return acquire;
      }
    }
  }
  void flood() {
    std::string bytes;
    for (int i = 0; i < 500; ++i) bytes += RawClient::encoded(++next_id_, i % 10 == 0 ? any_request() : protocol::Request(protocol::Unsubscribe{1}));
    if (pending_.size() < bytes.size()) put(bytes);
    else put({});
    if (client_) drain();
    count();
  }
  void send_a_byte() {
    if (slow_.empty()) slow_ = RawClient::encoded(++next_id_, any_request());
    if (!pending_.empty()) return static_cast<void>(put({}));
    put(std::string_view(slow_).substr(0, 1));
    slow_.erase(0, 1);
    if (client_) drain();
    count();
  }
  void scribble() {
    if (!drain()) return;
    if (page_ == nullptr && descriptors_.size() >= 2) {
      void* const mapped = ::mmap(nullptr, sizeof(protocol::PinPage), PROT_READ | PROT_WRITE, MAP_SHARED, descriptors_[1], 0);
      if (mapped != MAP_FAILED) page_ = static_cast<std::uint64_t*>(mapped);
    }
    if (page_ == nullptr) return;
    constexpr std::size_t words = sizeof(protocol::PinPage) / sizeof(std::uint64_t);
    // Numbers that look like places of records, and numbers that look like nothing.
    for (int i = 0; i < 4000; ++i) reinterpret_cast<std::atomic<std::uint64_t>*>(page_)[random_() % words].store(
        random_() % 2 == 0 ? (random_() % 65536) * 64 : (static_cast<std::uint64_t>(random_()) << 32) | random_(), std::memory_order_relaxed);
    if (random_() % 4 == 0) put(RawClient::encoded(++next_id_, random_() % 2 == 0 ? protocol::Request(protocol::GetStats{}) : any_request()));
    count();
  }
  void ask_and_not_read() {
    if (random_() % 64 == 0) {
      put(RawClient::encoded(++next_id_, protocol::Subscribe{{protocol::ScopeKind::everything, {}}, 0, 0}));
    } else {
      std::string bytes;
      for (int i = 0; i < 50; ++i) bytes += RawClient::encoded(++next_id_, protocol::GetStats{});
      if (pending_.empty()) put(bytes);
      else put({});
    }
    count();
  }
  void reserve() {
    put(RawClient::encoded(++next_id_, protocol::Reserve{1 + random_() % (4 << 20), 0}));
    if (client_ && random_() % 2 == 0) drain();
    if (client_ && random_() % 2 == 0) hang_up();
    count();
  }
  void lease() {
    if (!pending_.empty()) return static_cast<void>(put({}));
    protocol::Acquire acquire;
    acquire.key = key();
    acquire.wait_ms = 600'000;
    acquire.lease_limit_ms = 1 + random_() % 2000;
    put(RawClient::encoded(++next_id_, acquire));
    if (client_ && random_() % 16 == 0) drain();
    count();
  }
  void die_in_a_child() {
    if (child_ > 0) {
      int status = 0;
      if (::waitpid(child_, &status, WNOHANG) == 0) return;
    }
    child_ = ::fork();
    if (child_ == 0) {
      if (connect()) {
        protocol::Acquire acquire;
        acquire.key = key();
        acquire.wait_ms = 60'000;
        put(RawClient::encoded(2, acquire));
      }
      if (random_() % 2 == 0) ::kill(::getpid(), SIGKILL);
      ::_exit(0);
    }
    if (child_ > 0) count();
  }
  void knock() {
    if (client_) {
      if (waiting_to_be_refused_ && !read_verdict()) return;
      hang_up();
    }
    try {
      client_.emplace(socket_);
      ::fcntl(client_->socket(), F_SETFL, O_NONBLOCK);
    } catch (const std::exception&) {
      return;
    }
    counts_.connected.fetch_add(1, std::memory_order_relaxed);
    count();
    waiting_to_be_refused_ = false;
    switch (random_() % 3) {
      case 0: {
        protocol::Hello hello = RawClient::hello_message(true);
        hello.namespace_name = forbidden_;
        waiting_to_be_refused_ = put(RawClient::encoded(1, hello));
        return;
      }
      case 1: {
        std::string garbage(1 + random_() % 5000, '\0');
        for (char& byte : garbage) byte = static_cast<char>(random_());
        return static_cast<void>(put(garbage));
      }
      default: send_descriptor(client_->socket(), "x", client_->socket(), MSG_DONTWAIT);
    }
  }
  // False: no answer yet.
  bool read_verdict() {
    char bytes[4096];
    const ssize_t count = ::recv(client_->socket(), bytes, sizeof(bytes), MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return false;
    constexpr std::size_t type_at = 4;
    if (count > static_cast<ssize_t>(type_at) && bytes[type_at] == static_cast<char>(protocol::first_reply_type)) ++counts_.let_in_elsewhere;
    return true;
  }

  Hostility kind_;
  std::string socket_;
  std::string home_;
  std::string forbidden_;
  HostileCounts& counts_;
  std::minstd_rand random_;
  std::optional<RawClient> client_;
  std::vector<int> descriptors_;
  std::uint64_t* page_ = nullptr;
  protocol::RequestId next_id_ = 2;
  std::string pending_;
  std::string slow_;
  pid_t child_ = -1;
  bool waiting_to_be_refused_ = false;
};

// So many clients of all kinds, in a few processes of another user (of this one without a user). They die with this object, and
// with the process that made it.
class HostileCrowd {
 public:
  struct Options {
    std::string socket;
    std::string home;       // the namespace that is theirs
    std::string forbidden;  // one that is not
    std::size_t clients = 1000;
    std::size_t processes = 8;
    std::optional<OtherUser> user{};
    int core = -1;          // all of them on this one; -1: wherever
    unsigned seed = 1;
  };
  explicit HostileCrowd(const Options& options) {
    void* const memory = ::mmap(nullptr, sizeof(HostileCounts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("mmap");
    counts_ = new (memory) HostileCounts;
    const pid_t parent = ::getpid();
    for (std::size_t process = 0; process < options.processes; ++process) {
      const pid_t child = ::fork();
      if (child < 0) throw std::runtime_error("fork");
      if (child == 0) run(options, process, parent);
      children_.push_back(child);
    }
  }
  ~HostileCrowd() {
    for (const pid_t child : children_) ::kill(child, SIGKILL);
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
    ::munmap(counts_, sizeof(HostileCounts));
  }
  HostileCrowd(const HostileCrowd&) = delete;
  HostileCrowd& operator=(const HostileCrowd&) = delete;

  const HostileCounts& counts() const { return *counts_; }
  // Each kind has done its harm so often since the crowd came.
  bool each_has_acted(std::uint64_t times) const {
    for (const auto& one : counts_->actions)
      if (one.load() < times) return false;
    return true;
  }
  bool all_alive() const {
    for (const pid_t child : children_)
      if (::waitpid(child, nullptr, WNOHANG) != 0) return false;
    return true;
  }

 private:
  [[noreturn]] void run(const Options& options, std::size_t process, pid_t parent) {
    ::signal(SIGPIPE, SIG_IGN);
    try {
      if (options.user) become(*options.user);
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of user, which clears it
      if (::getppid() != parent) ::_exit(1);
      if (options.core >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(static_cast<std::size_t>(options.core), &set);
        ::sched_setaffinity(0, sizeof(set), &set);
      }
      std::vector<std::unique_ptr<HostileClient>> clients;
      for (std::size_t i = process; i < options.clients; i += options.processes) {
        const auto kind = static_cast<Hostility>((i / options.processes) % hostilities);
        clients.push_back(std::make_unique<HostileClient>(kind, options.socket, options.home, options.forbidden, *counts_,
                                                          options.seed * 100'003 + static_cast<unsigned>(i)));
      }
      for (;;)
        for (const auto& client : clients) client->turn();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "hostile process: %s\n", error.what());
    }
    ::_exit(1);
  }

  HostileCounts* counts_ = nullptr;
  std::vector<pid_t> children_;
};

}  // namespace onced::testing
