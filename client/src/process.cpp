#include "process.hpp"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>

#include "attachment.hpp"
#include "fork_lock.hpp"
#include "reader_node.hpp"

namespace onced::client_detail {

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool thread_sanitizer = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool thread_sanitizer = true;
#else
constexpr bool thread_sanitizer = false;
#endif
#else
constexpr bool thread_sanitizer = false;
#endif

long membarrier(int command) { return syscall(SYS_membarrier, command, 0U, 0); }

bool register_membarrier() {
  return !thread_sanitizer && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

// The kernel keeps it for the whole process, also for threads yet to come, until exec(). A forked child inherits it, as
// far as Linux goes today; nothing documents that, so a child registers too.
bool register_for_daemons_barrier() { return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0; }

std::mutex& making() {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

namespace {
// Stands in until the wiped page is mapped; constant-initialised, so that current() may be called at any time.
constinit ProcessWord no_word;
}  // namespace

constinit std::atomic<std::uint32_t> Process::fork_epoch_{0};
constinit std::atomic<ProcessWord*> Process::word_{&no_word};

Process::Process(Process* parent, bool asymmetric, bool fenced_by_daemons)
    : parent_(parent), asymmetric_(asymmetric), fenced_by_daemons_(fenced_by_daemons) {}

Process& Process::here() {
  Process* process = current();
  return process != nullptr ? *process : make();
}

Process& Process::make() {
  static Process* newest = nullptr;  // under the lock; the parent's, in a child

  const std::lock_guard lock(making());
  if (Process* process = current()) return *process;

  ProcessWord* word = word_.load(std::memory_order_relaxed);
  if (word == &no_word) {
    const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    void* page = mmap(nullptr, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // Without such a page, or a kernel that wipes it (4.14), fork() is still noticed, by the handler below.
    if (page != MAP_FAILED) {
      madvise(page, page_bytes, MADV_WIPEONFORK);
      word = new (page) ProcessWord;
      word_.store(word, std::memory_order_release);  // pairs with current()
    }
    pthread_atfork(
        [] {
          making().lock();  // so that a child does not find it locked
          fork_epoch_.fetch_add(1, std::memory_order_seq_cst);
        },
        [] {
          fork_epoch_.fetch_add(1, std::memory_order_seq_cst);
          making().unlock();
        },
        [] {
          fork_epoch_.fetch_add(1, std::memory_order_seq_cst);
          word_.load(std::memory_order_relaxed)->process.store(nullptr, std::memory_order_relaxed);
          making().unlock();
        });
  }
  newest = new Process(newest, register_membarrier(), register_for_daemons_barrier());
  word->process.store(newest, std::memory_order_release);  // pairs with current()
  return *newest;
}

std::unique_lock<std::mutex> hold_off_forks() {
  Process::here();  // the handler that takes the lock is there from now on
  return std::unique_lock(making());
}

void Process::heavy_barrier() const {
  if (asymmetric_) membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

// ---- threads --------------------------------------------------------------------------------------------------------

ReaderNode* Process::take_node() {
  const std::lock_guard lock(mutex_);
  ReaderNode* node = nullptr;
  for (const auto& candidate : nodes_) {
    if (!candidate->in_use) {
      node = candidate.get();
      break;
    }
  }
  if (node == nullptr) node = nodes_.emplace_back(std::make_unique<ReaderNode>(this)).get();
  node->in_use = true;
  exclusive_lines_taken_.resize(exclusive_lines, false);
  const auto free = std::find(exclusive_lines_taken_.begin(), exclusive_lines_taken_.end(), false);
  if (free != exclusive_lines_taken_.end()) {
    *free = true;
    node->line = static_cast<std::uint32_t>(free - exclusive_lines_taken_.begin());
    node->use = protocol::LineUse::exclusive;
  } else {
    node->line = exclusive_lines + next_shared_line_++ % (protocol::client_pin_lines - exclusive_lines);
    node->use = protocol::LineUse::shared;
  }
  return node;
}

void Process::return_node(ReaderNode* node) {
  const std::lock_guard lock(mutex_);
  if (node->use == protocol::LineUse::exclusive) exclusive_lines_taken_[node->line] = false;
  node->in_use = false;
}

constinit thread_local ReaderNode* this_thread_node = nullptr;

namespace {

// Gives the node back when the thread ends. Kept apart from the pointer, which so needs no guard on the hit path.
struct NodeReturner {
  bool armed = false;
  ~NodeReturner();
};
constinit thread_local bool thread_is_ending = false;
thread_local NodeReturner node_returner;

NodeReturner::~NodeReturner() {
  thread_is_ending = true;
  ReaderNode* node = std::exchange(this_thread_node, nullptr);
  // A child leaves its parent's nodes alone.
  if (node != nullptr && node->process == Process::current()) node->process->return_node(node);
}

}  // namespace

ReaderNode& make_thread_node(bool& borrowed) {
  ReaderNode* node = Process::here().take_node();
  borrowed = thread_is_ending;
  if (!borrowed) {
    node_returner.armed = true;  // the first use constructs it: its destructor will run
    this_thread_node = node;
  }
  return *node;
}

// ---- attachments ----------------------------------------------------------------------------------------------------

void Process::retire(Attachment* attachment) {
  {
    const std::lock_guard lock(mutex_);
    // Seq_cst: pairs with the load in Attachment::drop_view().
    attachment->retired.store(true, std::memory_order_seq_cst);
    retired_.push_back(attachment);
  }
  reclaim();
}

void Process::reclaim() {
  std::vector<Attachment*> free;
  {
    const std::lock_guard lock(mutex_);
    reclaim_locked(free);
  }
  for (Attachment* attachment : free) delete attachment;  // closes descriptors: not under the lock
}

void Process::reclaim_locked(std::vector<Attachment*>& free) {
  if (retired_.empty()) return;
  // From here on every thread has either published its hazard (or cleared its pin) or will see that the attachment is
  // retired. A retired attachment gets no new lookups and no new views: both sets only shrink.
  heavy_barrier();
  const auto in_lookup = [this](const Attachment* attachment) {
    return std::any_of(nodes_.begin(), nodes_.end(), [attachment](const auto& node) {
      return node->hazard.load(std::memory_order_seq_cst) == attachment;
    });
  };
  std::erase_if(retired_, [&](Attachment* attachment) {
    // Hazards before pins: a lookup under way may yet set a pin. And after them: who drops a view holds a hazard while
    // it clears the pin, and still touches the attachment then.
    if (attachment->users != 0 || in_lookup(attachment) || attachment->has_views() || in_lookup(attachment)) return false;
    free.push_back(attachment);
    return true;
  });
}

void Process::add_user(Attachment* attachment) {
  const std::lock_guard lock(mutex_);
  ++attachment->users;
}

void Process::remove_user(Attachment* attachment) {
  std::vector<Attachment*> free;
  {
    const std::lock_guard lock(mutex_);
    if (--attachment->users == 0 && attachment->retired.load(std::memory_order_relaxed)) reclaim_locked(free);
  }
  for (Attachment* unused : free) delete unused;
}

std::size_t Process::retired_attachments() {
  const std::lock_guard lock(mutex_);
  return retired_.size();
}

void Process::keep_inherited(const void* object) {
  const std::lock_guard lock(mutex_);
  inherited_.push_back(object);
}

}  // namespace onced::client_detail
