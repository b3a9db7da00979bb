// What threads of the disk tier have to say to the loop, and what they give back to it.
//
// Ownership: shared by the loop's side and by every operation under way, which may outlive it: close() comes before the loop's side goes.
// Threads:   post() and give_back() from any; take() and close() on the loop. `ring` is called by who posts, once for all that waits.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "memory/file_descriptor.hpp"

namespace onced::tiers {

template <typename Letter>
class Mailbox {
 public:
  using Lent = std::shared_ptr<const memory::FileDescriptor>;
  explicit Mailbox(std::function<void()> ring) : ring_(std::move(ring)) {}

  void post(Letter letter) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    const bool was_empty = letters_.empty() && returned_.empty();
    letters_.push_back(std::move(letter));
    if (was_empty) ring_();
  }
  // A blob's descriptor: who has it last closes it, and that is the loop's business. After close() it stays open until the process
  // ends: whatever closes descriptors is gone by then.
  void give_back(Lent descriptor) {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      static_cast<void>(new Lent(std::move(descriptor)));
      return;
    }
    const bool was_empty = letters_.empty() && returned_.empty();
    returned_.push_back(std::move(descriptor));
    if (was_empty) ring_();
  }

  // The oldest ones. What is left is for the next call, for which nobody rings: has_more().
  std::vector<Letter> take(std::size_t max) {
    std::vector<Lent> returned;  // gone after the lock is
    std::vector<Letter> letters;
    const std::lock_guard lock(mutex_);
    returned.swap(returned_);
    for (; !letters_.empty() && letters.size() < max; letters_.pop_front()) letters.push_back(std::move(letters_.front()));
    return letters;
  }
  bool has_more() const {
    const std::lock_guard lock(mutex_);
    return !letters_.empty();
  }
  void close() {
    std::vector<Lent> returned;
    std::deque<Letter> letters;
    const std::lock_guard lock(mutex_);
    closed_ = true;
    returned.swap(returned_);
    letters.swap(letters_);
  }

 private:
  mutable std::mutex mutex_;  // of all below
  std::function<void()> ring_;
  std::deque<Letter> letters_;
  std::vector<Lent> returned_;
  bool closed_ = false;
};

}  // namespace onced::tiers
