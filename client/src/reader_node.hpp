// What one thread needs to read: its hazard and its line of pins.
//
// A hazard says "I am looking at this attachment": it is not freed meanwhile. The thread stores it, then checks that
// the attachment is still the current one; who frees first makes the attachment not current, then (after
// Process::heavy_barrier()) looks at all hazards.
//
// Lines [0, exclusive_lines) belong to one thread each; threads beyond share the others. A line number holds for every
// attachment of the process.
#pragma once

#include <atomic>
#include <cstdint>

#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/segment_reader.hpp>

#include "process.hpp"
#include "refresh_lottery.hpp"

namespace onced::client_detail {

inline constexpr std::uint32_t exclusive_lines = 48;
static_assert(exclusive_lines < protocol::client_pin_lines);

struct alignas(64) ReaderNode {
  explicit ReaderNode(Process* owner) : process(owner), asymmetric(owner->asymmetric()) {}

  // Plain store and compiler barrier, or seq_cst: pairs with Process::heavy_barrier() and the loads in
  // Process::reclaim_locked(). What is loaded after it (is the attachment current? is it retired?) must be loaded with
  // load_after_protect().
  void protect(Attachment* attachment) {
    if (asymmetric) {
      hazard.store(attachment, std::memory_order_relaxed);
      std::atomic_signal_fence(std::memory_order_seq_cst);
    } else {
      hazard.store(attachment, std::memory_order_seq_cst);
    }
  }
  // Release: what was done with the attachment (a pin set in it) is visible to who sees the hazard gone.
  void unprotect() { hazard.store(nullptr, std::memory_order_release); }

  std::atomic<Attachment*> hazard{nullptr};
  Process* const process;
  std::uint32_t line = 0;
  protocol::LineUse use = protocol::LineUse::exclusive;
  const bool asymmetric;
  bool in_use = false;  // by a thread; under the process's mutex
  RefreshLottery lottery;  // the thread's own draws
};

// The calling thread's node; null before its first lookup in this process and after its thread_local objects are gone.
extern constinit thread_local ReaderNode* this_thread_node;
// Makes this thread one. While the thread ends (its thread_local objects are being destroyed) there is none to keep:
// then `borrowed` is set and the caller gives it back.
ReaderNode& make_thread_node(bool& borrowed);

// The thread's node for the length of a scope, whatever state the thread is in.
class NodeInScope {
 public:
  NodeInScope() : node_(this_thread_node) {
    if (node_ == nullptr || node_->process != Process::current()) node_ = &make_thread_node(borrowed_);
  }
  ~NodeInScope() {
    if (borrowed_) node_->process->return_node(node_);
  }
  NodeInScope(const NodeInScope&) = delete;
  NodeInScope& operator=(const NodeInScope&) = delete;
  ReaderNode* operator->() const { return node_; }
  ReaderNode& operator*() const { return *node_; }

 private:
  ReaderNode* node_;
  bool borrowed_ = false;
};

}  // namespace onced::client_detail
