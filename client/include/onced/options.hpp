// How a client and its calls behave. Aggregates: name what differs, the rest are the defaults.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <onced/protocol/key.hpp>

namespace onced {

using Milliseconds = std::chrono::milliseconds;

struct ClientOptions {
  std::string socket{};                  // empty: $ONCED_SOCKET, else /run/onced/onced.sock if it is there, else
                                         // $XDG_RUNTIME_DIR/onced/onced.sock
  std::string namespace_name = "default";
  std::string name{};                    // for people ("gunicorn"); empty: the program's name
  Milliseconds connect_timeout{5000};    // connect and handshake
  Milliseconds request_timeout{5000};    // of requests that the daemon answers at once; one that waits for a holder asks
                                         // after such a time whether the daemon is there, and gives it as long to say so
  // Of requests that the daemon answers when the disk has done its part: what is durable, invalidations and the beginning, rotation and
  // end of sessions where values are kept on disk, and Client::get() of a value that must be read from there. A daemon that does not
  // answer at all is found out within request_timeout.
  Milliseconds disk_timeout{60000};
  Milliseconds reconnect_delay_min{10};  // after a failed attempt; doubles, with jitter, up to reconnect_delay_max
  Milliseconds reconnect_delay_max{2000};
  // A part above this gets memory of its own, and so do smaller ones when they are more together; what is below travels with
  // the request and lies beside its key. 64 KiB at most. The default was measured (bench/threshold.svg): by it publishing
  // and a first look cost the least; a smaller one spares the segment's memory.
  std::uint32_t inline_bytes_max = 64 * 1024;
  // Large parts that were read stay mapped for later hits, the latest used ones within both bounds, until the daemon has
  // dropped them and nobody views them (Client::trim()). What is viewed counts, and stays mapped in any case. Address space:
  // the memory is the daemon's as long as it keeps the value.
  std::uint64_t mapping_cache_bytes = std::uint64_t{4} << 30;
  std::uint32_t mapping_cache_count = 1024;  // 2^20 at most
  bool record_dependencies = true;       // false: as if every ComputeOptions said so
  bool strict = false;                   // daemon away or silent: an error (true), or compute locally, uncached (false; L8)
  // Told once per outage, and for every rare event an operator should hear of. Default: one line on standard error.
  // Called from the thread that noticed; must not call the client.
  std::function<void(std::string_view)> on_warning{};
};

// Of a new session: nothing said is as configured; longer times than those are cut to them.
struct SessionOptions {
  std::optional<Milliseconds> idle_ttl{};      // it ends when it was not used for so long; 0: never
  std::optional<Milliseconds> absolute_ttl{};  // it ends at this age; 0: never
};

// What to do when wait_timeout passes while somebody else computes, or while the key is queued because its function computes as many
// as it may. `compute`: here and now, for this caller alone; the result is not published, for the holder is still at it
// and its result is the one that counts.
enum class OnDeadline : std::uint8_t { error, compute };

// What says nothing (std::nullopt) is as the daemon's configuration has it for the function, else for the namespace. What the
// protocol does not take is invalid_argument, too_large or limit_reached, whose text names the limit, before anything is sent.
struct ComputeOptions {
  Milliseconds wait_timeout{5 * 60 * 1000};  // the longest to wait for another holder, or for a daemon (at least 100 ms)
  OnDeadline on_deadline = OnDeadline::error;

  // How long the value is kept, and what makes it go:
  std::optional<Milliseconds> ttl{};         // fresh for so long; 0: until it is evicted or invalidated
  std::optional<Milliseconds> grace{};       // then stale: usable for so long while one caller refreshes it; 0: not at all.
                                             // 49 days at most, more is cut
  // Refresh ahead of time, so that nobody meets a stale value: XFetch's beta (Vattani, Chierichetti, Lowenstein 2015). How
  // early, in units of what the value cost to compute: 1 is right for most, more is earlier, 0 never. 1,000 at most.
  std::optional<double> refresh_ahead{};
  std::vector<std::string> tags{};           // for Client::invalidate_tag(): 16 of 128 bytes at most
  // The value goes when one of these is invalidated, and is stale (for its grace, or for a minute) when one is replaced or
  // invalidated softly; and so does what depends on it in turn. Counts from the beginning of the computation (or from the put):
  // one that was replaced when the value is published, or that had no value to begin with, makes it stale at once; one that was
  // invalidated keeps it from being stored, and so may one that was evicted, has expired or was replaced since, and of which nothing is
  // known any more by then. Later eviction and expiry of an upstream change nothing. 256 keys of 64 KiB together at
  // most, with those that are recorded (below). A key of a session only for a value of that session.
  std::vector<Key> depends_on{};
  bool retire_older = false;                 // values of the same function and arguments under other versions of it go
  // Publishing returns when the value is on stable storage: from then on it survives any crash. It needs a namespace whose values are kept
  // on disk, and everything that it depends on, over all steps, must be there unchanged: at most 64 values. What cannot be made durable
  // is kept in memory as without this, Value::not_durable() says why, and the client warns once.
  bool durable = false;

  std::optional<Milliseconds> failure_ttl{}; // how long a failure stays the answer; nothing: as the daemon is configured
  Milliseconds lease_limit{0};               // the longest the function may take before others take over; 0: the daemon's
  std::string content_type{};                // of published bytes when the function names none
  bool force = false;                        // compute even if there is a value
  // Nobody is waiting for it, as of a job that fetches values ahead of time: where the operator limits how many keys of the
  // function are computed at once (max_concurrent), it comes after all whose callers are not in the background.
  bool background = false;
  // A stale value within its grace will do, when somebody else refreshes it (Value::stale()). False: wait for the new one.
  bool accept_stale = true;
  // The value depends on every value that the computation reads through the same client, in the thread that has acquired it
  // (hits too): as if they stood in depends_on. Of what is above the limits the rest is left out: the client warns, once,
  // and counts (ClientCounters::dependencies_dropped). Of nested computations in a thread the innermost is meant.
  bool record_dependencies = true;
};

struct WaitOptions {
  Milliseconds timeout{5 * 60 * 1000};
  bool accept_stale = false;                 // a stale value ends the wait too
};

struct GetOptions {
  bool accept_stale = true;                  // false: a stale value counts as none
};

struct PutOptions {
  // As in ComputeOptions:
  std::optional<Milliseconds> ttl{};
  std::optional<Milliseconds> grace{};
  std::optional<double> refresh_ahead{};
  std::vector<std::string> tags{};
  std::vector<Key> depends_on{};
  bool retire_older = false;
  bool durable = false;  // what cannot be made durable is stored all the same, and the call ends with not_durable
  std::string content_type{};
};

struct InvalidateOptions {
  // Values become stale and the next caller refreshes them, instead of going at once. They keep their grace; those that have
  // none get one minute.
  bool soft = false;
};

}  // namespace onced
