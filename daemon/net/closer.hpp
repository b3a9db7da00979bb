// A thread that closes descriptors whose closing may block.
//
// close() can take long: the last reference to a socket with SO_LINGER waits for its peer, a file's last flush waits for
// its file system, the last reference to 1 GiB of memory takes a tenth of a second. What clients have sent us, sockets in
// whose queues such descriptors may still lie, and the memory of large parts are therefore closed here and never on the loop.
//
// Ownership: takes what it is given. A closer for each kind keeps what is ours from waiting behind what is foreign.
// Threads:   give() and the counts from any thread; they never block. One thread of its own.
// Limits:    foreign descriptors count for the user who sent them. From foreign_descriptors_waiting_max on nothing more is
//            taken out of the queues of that user's sockets here, and the loop stops reading from that user.
//            At most waiting_max descriptors wait. Beyond that give() leaves the descriptor open for good (the loop must
//            not block) and counts it in abandoned(): only descriptors that cannot be closed get there.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include <onced/protocol/limits.hpp>

#include "threads/leavable_thread.hpp"

namespace onced::net {

class Closer {
 public:
  enum class Kind : std::uint8_t {
    connection,  // our end of a connection: what is left in its queue is taken out and closed first
    foreign,     // sent by a client: lingering is switched off first
    own,         // nobody else's: memory
  };
  // Whom a descriptor counts for.
  using User = std::uint32_t;
  static constexpr User nobody = 0xffff'ffff;

  struct Options {
    // Takes the descriptors that are found in the queues of connections; null: this closer itself.
    Closer* foreign = nullptr;
    std::size_t waiting_max = limits::descriptors_closing_max;
    std::function<void(int)> close = [](int descriptor) { ::close(descriptor); };  // for tests: one that hangs
  };
  Closer() : Closer(Options{}) {}
  explicit Closer(Options options);
  // Waits briefly for what is queued; a thread that hangs in close() is left to the end of the process.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  // `closed` is called by the closer's thread when the descriptor is closed; never when it is abandoned.
  void give(int descriptor, Kind kind, User user = nobody, std::function<void()> closed = {});

  // Whether so much of this user waits here, the one being closed included, that no more may be taken in.
  bool overfull(User user) const;

  std::uint64_t closed() const;
  std::uint64_t abandoned() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  threads::LeavableThread thread_;
};

}  // namespace onced::net
