// One client's socket: bytes in, frames out of them, replies back. It knows no engine; the host (host.hpp) decides.
//
// States: greeting (only a Hello is accepted) -> open (requests and replies) -> ending (what is queued still leaves,
// nothing more is read) -> ended (our direction is shut down; the pin page stays until the client end of the socket is
// closed in every process that has it).
//
// Ownership: the socket, the peer's pidfd and the pin page. The socket is closed by the closer: clients may have left
//            descriptors in its queue.
// Threads:   the loop. Completion handlers hold the connection's id, never its address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <onced/protocol/frame.hpp>

#include "engine/types.hpp"
#include "memory/sealed_memory.hpp"
#include "net/closer.hpp"
#include "net/peer.hpp"
#include "net/send_queue.hpp"

namespace onced::net {

class NamespaceHost;

// What one connection has taken of one turn.
struct TurnWork {
  std::uint32_t receives = 0;
  std::uint32_t requests = 0;
};

// A connection's deadline (for HELLO, for what is queued at the end), kept by the host in one ordered place.
using ConnectionDeadlines = std::multimap<engine::Time, engine::ConnectionId>;

class Connection {
 public:
  enum class State : std::uint8_t { greeting, open, ending, ended };

  Connection(boost::asio::io_context& context, engine::ConnectionId id, Peer peer);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  // Puts the socket under the loop's watch; takes it only when that succeeds.
  Result<void> open(memory::FileDescriptor& socket);
  // The socket goes to `closer`; outstanding waits complete with operation_aborted.
  void close(Closer& closer);

  engine::ConnectionId id() const { return id_; }
  int socket() { return stream_.native_handle(); }

  // One recvmsg into the frame reader. `filled`: there may be more at once.
  struct Receipt {
    Received received;
    bool filled = false;
  };
  Receipt receive();

  // The rest is the host's, which is its only user.
  State state = State::greeting;
  Peer peer;
  protocol::FrameReader frames;
  SendQueue out;
  NamespaceHost* home = nullptr;              // since HELLO
  std::optional<memory::SealedMemory> page;   // since HELLO, when the client wants a mapping
  bool engine_knows = false;                  // Connected was applied and Disconnected was not
  bool peer_ended = false;                    // it has closed, or shut down its sending direction
  bool reading = false;                       // a wait for readability is under way, or begins with the end of this turn
  bool writing = false;                       // a wait for writability is under way
  bool flush_wanted = false;                  // it is in the host's list
  bool held_back = false;                     // it is in the host's list of those whose user is not read from now
  bool process_died = false;
  TurnWork turn;                              // what of the present turn, or of its last one, was its
  engine::Time turn_until{};                  // when its time of the present turn is over
  // Nobody takes answers any more: what was sent before that is read, so many bytes of it at most, then it is cut.
  std::optional<std::size_t> leaving;
  std::optional<ConnectionDeadlines::iterator> deadline;
  std::string ending_text;                    // why, for the log

  boost::asio::posix::stream_descriptor& stream() { return stream_; }
  // Readable when the process that connected has died; only if there is a pidfd.
  std::optional<boost::asio::posix::stream_descriptor>& process() { return process_; }
  // Puts the peer's pidfd under the loop's watch. Without it only hang-up tells of the process's death.
  void adopt_process(boost::asio::io_context& context);

 private:
  engine::ConnectionId id_;
  boost::asio::posix::stream_descriptor stream_;
  std::optional<boost::asio::posix::stream_descriptor> process_;
};

}  // namespace onced::net
