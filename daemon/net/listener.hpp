// Accepts connections, also when there is nothing left to accept them with.
//
// Without a free descriptor a listening socket stays readable and accept() fails: a loop that only retries burns a core
// while every client hangs. Here a descriptor is kept in reserve: it is given up to accept one client, tell it why it
// cannot stay, and hang up; then the listener pauses.
//
// Ownership: borrows the listening socket and the closer.
// Threads:   the loop.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <onced/protocol/result.hpp>

#include "memory/file_descriptor.hpp"
#include "net/closer.hpp"
#include "net/log_function.hpp"

namespace onced::net {

class Listener {
 public:
  static constexpr int accepts_per_turn = 32;                  // then other sockets get their turn
  static constexpr std::chrono::milliseconds pause_length{20};  // when descriptors or memory ran out

  using Accepted = std::function<void(memory::FileDescriptor socket)>;
  Listener(boost::asio::io_context& context, Closer& closer, Accepted accepted, LogFunction log);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() { stop(); }

  // `socket` listens and is non-blocking.
  Result<void> start(int socket);
  void stop();

 private:
  void wait();
  void accept_some();
  void shed();
  void pause();

  boost::asio::posix::stream_descriptor stream_;
  boost::asio::steady_timer timer_;
  Closer& closer_;
  Accepted accepted_;
  LogFunction log_;
  memory::FileDescriptor reserve_;
  bool exhausted_ = false;  // and said so
};

// Tells a client that is not admitted why, as the first and last frame of its connection. What the socket does not take
// at once is not sent.
void send_refusal(int socket, const Error& error);

}  // namespace onced::net
