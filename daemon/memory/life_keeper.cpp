#include "memory/life_keeper.hpp"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>

#include <onced/protocol/segment.hpp>

namespace onced::memory {

static_assert(protocol::life_owner_died == FUTEX_OWNER_DIED && protocol::life_tid_mask == FUTEX_TID_MASK);

struct LifeKeeper::State {
  enum class Phase : int { starting, keeping, failed, stopping };

  explicit State(std::atomic<std::uint32_t>& word) : life_word(word) {}
  void keep();

  std::atomic<std::uint32_t>& life_word;
  // starting -> keeping or failed by the thread, -> stopping by stop(). Release and acquire: pairs with itself, and
  // carries error_number and the life word along.
  std::atomic<int> phase{static_cast<int>(Phase::starting)};
  int error_number = 0;
  std::thread thread;

  // What the kernel walks when the thread ends: the list's head, and the one entry of which `futex_offset` leads to the
  // life word.
  robust_list_head head{};
  robust_list entry{};
};

// The thread's whole life.
void LifeKeeper::State::keep() {
  entry.next = &head.list;
  head.list.next = &entry;
  head.futex_offset =
      static_cast<long>(reinterpret_cast<std::intptr_t>(&life_word) - reinterpret_cast<std::intptr_t>(&entry));
  head.list_op_pending = nullptr;
  const bool registered = ::syscall(SYS_set_robust_list, &head, sizeof head) == 0;
  if (registered) {
    // Release: pairs with the acquire in SegmentReader::alive(). The kernel marks the word only if it holds this id.
    life_word.store(static_cast<std::uint32_t>(::syscall(SYS_gettid)), std::memory_order_release);
  } else {
    error_number = errno;
  }
  phase.store(static_cast<int>(registered ? Phase::keeping : Phase::failed), std::memory_order_release);
  phase.notify_all();
  if (registered) phase.wait(static_cast<int>(Phase::keeping), std::memory_order_acquire);
}

LifeKeeper::LifeKeeper(std::unique_ptr<State> state) : state_(std::move(state)) {}
LifeKeeper::LifeKeeper(LifeKeeper&&) noexcept = default;
LifeKeeper& LifeKeeper::operator=(LifeKeeper&& other) noexcept {
  stop();
  state_ = std::move(other.state_);
  return *this;
}
LifeKeeper::~LifeKeeper() {
  stop();
}

Result<LifeKeeper> LifeKeeper::start(std::atomic<std::uint32_t>& life_word) {
  auto state = std::make_unique<State>(life_word);
  // Signals are for the daemon's own threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error_number = 0;
  try {
    state->thread = std::thread([keeper = state.get()] { keeper->keep(); });
  } catch (const std::system_error& error) {
    error_number = error.code().value();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error_number == 0) {
    state->phase.wait(static_cast<int>(State::Phase::starting), std::memory_order_acquire);
    if (state->phase.load(std::memory_order_acquire) == static_cast<int>(State::Phase::keeping)) {
      return LifeKeeper(std::move(state));
    }
    state->thread.join();
    error_number = state->error_number;
  }
  return Error{ErrorCode::unavailable,
               std::string("life word: no thread could own it: ") + std::strerror(error_number)};
}

void LifeKeeper::stop() {
  if (!state_ || !state_->thread.joinable()) return;
  // Release: what this daemon did before it stopped is seen by who sees that it stopped. No thread id stays in the
  // word, so the kernel leaves it alone when the thread ends.
  state_->life_word.store(protocol::life_owner_died, std::memory_order_release);
  state_->phase.store(static_cast<int>(State::Phase::stopping), std::memory_order_release);
  state_->phase.notify_all();
  state_->thread.join();
}

}  // namespace onced::memory
