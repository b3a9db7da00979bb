// This process as the client sees it, and how it notices that it has become a forked child.
//
// A word in a page that the kernel wipes in a child (MADV_WIPEONFORK) names the Process object of the process we are
// in. Everything that belongs to one process (connections, mappings, nodes of threads) remembers the Process it was
// made in, and is used only while the word names it: one comparison, no system call, also after a raw clone().
//
// Views need to know more: whether a fork happened since they were taken, also in the parent. A counter rises by one
// before each fork (it is odd while one is under way) and by one after it, in parent and child, by pthread_atfork. A
// process that is forked past glibc (a raw clone() without CLONE_VM) must not drop views it took before.
//
// Ownership: Process objects are never freed. A child leaves its parent's as it found it (its mutex may be locked, its
//            lists half changed) and makes one of its own that keeps a pointer to it.
// Threads:   here() and current() from any thread. Members say their locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace onced::client_detail {

struct Attachment;
struct ReaderNode;

class Process;
// The word that a child finds null.
struct ProcessWord {
  std::atomic<Process*> process{nullptr};
};

class Process {
 public:
  // The process we are in. Makes the object in the first call of a process.
  static Process& here();
  // As here(), but null when this process has none yet. On the hit path.
  static Process* current() {
    // Acquire, both: pair with the releases in make(). In a child the word is null.
    return word_.load(std::memory_order_acquire)->process.load(std::memory_order_acquire);
  }

  // Even, or odd while a fork is under way.
  static std::uint32_t fork_epoch() { return fork_epoch_.load(std::memory_order_relaxed); }

  // True: threads publish hazards with plain stores and heavy_barrier() makes all of them visible (membarrier()).
  // False (no membarrier(), or ThreadSanitizer, which knows nothing of it): every store is seq_cst.
  bool asymmetric() const { return asymmetric_; }
  void heavy_barrier() const;
  // This process has registered for the barriers that daemons issue before they scan pins (SegmentReader::daemon_fences()):
  // its threads may claim pins as LineUse::exclusive_fenced. A forked child registers anew.
  bool fenced_by_daemons() const { return fenced_by_daemons_; }

  // The node of a thread, and back. Reuses what earlier threads gave back.
  ReaderNode* take_node();
  void return_node(ReaderNode* node);

  // Attachments ---------------------------------------------------------------------------------------------------------
  // A retired attachment is freed when nobody uses it any more: no AttachmentRef, no view, no thread in the middle of
  // a lookup. Looks at every retired one; called when one of those has changed.
  void retire(Attachment* attachment);
  void reclaim();
  void add_user(Attachment* attachment);
  void remove_user(Attachment* attachment);
  std::size_t retired_attachments();

  // Remembers what a child inherited and must neither use nor destroy (it is not lost: leak checkers see it here).
  void keep_inherited(const void* object);

 private:
  Process(Process* parent, bool asymmetric, bool fenced_by_daemons);
  ~Process() = delete;
  static Process& make();
  void reclaim_locked(std::vector<Attachment*>& free);

  static std::atomic<ProcessWord*> word_;
  static std::atomic<std::uint32_t> fork_epoch_;

  Process* const parent_;  // not used: says that what it holds is still referred to
  const bool asymmetric_;
  const bool fenced_by_daemons_;
  std::mutex mutex_;
  // Under mutex_:
  std::vector<std::unique_ptr<ReaderNode>> nodes_;
  std::vector<bool> exclusive_lines_taken_;
  std::uint32_t next_shared_line_ = 0;
  std::vector<Attachment*> retired_;
  std::vector<const void*> inherited_;
};

}  // namespace onced::client_detail
