// A thread that closes descriptors whose closing may block.
//
// close() can take long: the last reference to a socket with SO_LINGER waits for its peer, a file's last flush waits for
// its file system. What clients have sent us, and sockets in whose queues such descriptors may still lie, are therefore
// closed here and never on the loop.
//
// Ownership: takes what it is given. Two closers keep what is ours from waiting behind what is foreign.
// Threads:   give() from any thread; it never blocks. One thread of its own.
// Limits:    at most waiting_max descriptors wait. Beyond that give() leaves the descriptor open for good (the loop must
//            not block) and counts it in abandoned(): only descriptors that cannot be closed get there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>

namespace onced::net {

class Closer {
 public:
  static constexpr std::size_t waiting_max = 16 * 1024;

  enum class Kind : std::uint8_t {
    connection,  // our end of a connection: what is left in its queue is taken out and closed first
    foreign,     // sent by a client: lingering is switched off first
  };

  // `foreign` takes the descriptors that are found in the queues of connections; null: this closer itself.
  explicit Closer(Closer* foreign = nullptr);
  // Waits briefly for what is queued; a thread that hangs in close() is left to the end of the process.
  ~Closer();
  Closer(const Closer&) = delete;
  Closer& operator=(const Closer&) = delete;

  void give(int descriptor, Kind kind);

  std::uint64_t closed() const;
  std::uint64_t abandoned() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  std::thread thread_;
};

}  // namespace onced::net
