// One timer for everything that has a deadline, set as seldom as possible.
//
// Deadlines move all the time and mostly to later: a timer that is due too early costs one idle wake-up, setting it anew
// costs a system call at every request. So it is only ever brought forward, and asks again when it rings.
//
// Threads: the loop.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include <boost/asio/steady_timer.hpp>

#include "engine/types.hpp"

namespace onced::net {

class Alarm {
 public:
  // `start` is when engine::Time was zero. ring() is called at a wished time or before; it wishes again.
  Alarm(boost::asio::io_context& context, std::chrono::steady_clock::time_point start, std::function<void()> ring)
      : timer_(context), start_(start), ring_(std::move(ring)) {}

  engine::Time now() const { return std::chrono::steady_clock::now() - start_; }

  void wish(engine::Time when) {
    if (set_for_ && *set_for_ <= when) return;
    set_for_ = when;
    timer_.expires_at(start_ + std::chrono::ceil<std::chrono::steady_clock::duration>(when));
    timer_.async_wait([this, when](const boost::system::error_code& error) {
      if (error || set_for_ != when) return;  // stopped, or brought forward
      set_for_.reset();
      ring_();
    });
  }

  void stop() {
    set_for_.reset();
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  std::chrono::steady_clock::time_point start_;
  std::function<void()> ring_;
  std::optional<engine::Time> set_for_;
};

}  // namespace onced::net
