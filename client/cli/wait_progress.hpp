// What somebody who waits for a key is shown: how far its computation is and whose it is, or which place it has in the queue. Pure: signals in, a line out.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <onced/protocol/messages.hpp>

namespace onced::cli {

class WaitProgress {
 public:
  // The present state of the key, as a subscription to it begins with.
  void note(const protocol::State& state);
  void note(const protocol::Signal& signal);
  // Who computes it: "pid 4711 (gunicorn)"; empty: not known.
  void set_holder(std::string holder) {
    holder_ = std::move(holder);
    holder_asked_ = true;
  }

  // It is queued, and signals tell of some of its moves only: ask for its place now and then. 0: it is not queued any more.
  bool queued() const { return queued_; }
  void set_place(std::uint64_t position);

  // A state has been noted: there is something to show.
  bool known() const { return known_; }
  // Somebody computes it, and set_holder() has not said who.
  bool needs_holder() const { return computing_ && !holder_asked_; }
  // "[####......]  40 %  12 s  half-way, pid 4711 (gunicorn)", at most `columns` wide.
  std::string line(double waited_seconds, std::size_t columns) const;

 private:
  void start(double fraction, std::string text);
  void stop(std::string text, double fraction = std::nan(""));
  void queue(std::uint64_t position);

  bool known_ = false;
  bool computing_ = false;
  bool holder_asked_ = false;
  bool queued_ = false;
  double fraction_ = std::nan("");
  std::string text_;
  std::string holder_;
};

}  // namespace onced::cli
