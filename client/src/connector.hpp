// How a client in one process gets a connection and keeps one.
//
// Ownership: made by a Client for the process it is in; a forked child makes another one and leaves this one alone.
// Threads:   any. One thread connects at a time, the others wait for its result; each no longer than it may.
// Back-off:  after a failed attempt the next one is not made before a delay that doubles, with jitter; until then every
//            call is told at once why. One warning per outage. A daemon that has fallen silent (channel.hpp) is an
//            outage too: its connection is kept, hits go on, and the attempts are pings.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <random>
#include <string_view>

#include <onced/client.hpp>
#include <onced/options.hpp>

#include "attachment.hpp"
#include "reader_node.hpp"

namespace onced::client_detail {

// Delays between attempts. Pure but for its random numbers.
class BackOff {
 public:
  BackOff(Milliseconds least, Milliseconds most) : least_(least), most_(most), random_(std::random_device()()) {}
  void succeeded() { delay_ = Milliseconds(0); }
  // Of the last failure, before jitter; 0 after a success.
  Milliseconds delay() const { return delay_; }
  // The delay until the next attempt: in the upper half of a range that doubles with each failure.
  Milliseconds failed();

 private:
  Milliseconds least_;
  Milliseconds most_;
  Milliseconds delay_{0};
  std::minstd_rand random_;
};

void warn(const ClientOptions& options, std::string_view text);

// Whether an error of connecting says that the daemon is away (L8), or has no room now, which comes to the same. All
// others are refusals: trying again changes nothing, somebody must.
bool means_away(ErrorCode code);

class Connector {
 public:
  Connector(const ClientOptions& options, Identity identity);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

  // Looks the key up in the present mapping. `dead` also when there is none (yet), or only an inherited one.
  // `session`: of which the key is one; null: of none.
  Look look_up(std::string_view key, ReaderNode& node, std::optional<Value>& value, const SessionAccess* session = nullptr) {
    // Relaxed: checked below.
    Attachment* attachment = current_.load(std::memory_order_relaxed);
    for (;;) {
      if (attachment == nullptr) [[unlikely]] return Look::dead;
      node.protect(attachment);
      // Seq_cst: after the hazard; pairs with the exchange in attach(), which comes before the look at all hazards.
      Attachment* const again = current_.load(std::memory_order_seq_cst);
      if (again == attachment) [[likely]] break;
      attachment = again;
    }
    Look look = Look::dead;
    if (attachment->process == node.process) [[likely]] look = session == nullptr ? attachment->look_up(key, node, value) : attachment->look_up_in_session(key, node, value, *session);
    node.unprotect();
    return look;
  }

  // The present connection, or a new one when there is none that works. Takes until `deadline` at most. Errors: why
  // there is none.
  Result<AttachmentRef> attachment(Deadline deadline);
  // The present connection, whatever its state; may be empty.
  AttachmentRef present();
  // A present connection that is broken is forgotten now, not at the next call: its socket closes as soon as nothing
  // reads through it.
  void forget_broken();
  // The daemon said that it is about to go, or proved to be gone: counts as an outage until the next connection.
  void note_outage(const Error& error);
  // The daemon has fallen silent on the present connection: an outage until it says something.
  void note_silence(const Error& error);

  std::uint64_t hits();
  std::uint64_t copied_hits();
  std::uint64_t mapped_parts();

  Process* const process;
  const Identity identity;
  std::atomic<std::uint64_t> reconnects{0};

 private:
  void attach(std::unique_ptr<Attachment> next);
  std::optional<Result<AttachmentRef>> known();
  Deadline end_of_attempt(Deadline deadline);
  Result<AttachmentRef> failed(const Error& error);
  Result<AttachmentRef> still_silent();
  void begin_outage(std::unique_lock<std::mutex> lock, const Error& error);

  const ClientOptions& options_;
  std::atomic<Attachment*> current_{nullptr};  // changed under mutex_

  std::timed_mutex connecting_;  // whoever makes an attempt; before mutex_
  std::mutex mutex_;             // never held while something is waited for
  // Under mutex_:
  BackOff back_off_;
  Deadline next_attempt_{};
  Error last_error_{ErrorCode::unavailable, "not connected yet"};
  bool connected_before_ = false;
  bool outage_ = false;
  bool silence_noted_ = false;  // the outage is that of a silent daemon
  std::uint64_t past_hits_ = 0;         // of connections that are retired
  std::uint64_t past_copied_hits_ = 0;
  std::uint64_t past_mapped_parts_ = 0;
};

}  // namespace onced::client_detail
