// How a client and its calls behave. Aggregates: name what differs, the rest are the defaults.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

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
  std::uint32_t mapping_cache_count = 1024;
  bool strict = false;                   // daemon away or silent: an error (true), or compute locally, uncached (false; L8)
  // Told once per outage, and for every rare event an operator should hear of. Default: one line on standard error.
  // Called from the thread that noticed; must not call the client.
  std::function<void(std::string_view)> on_warning{};
};

// What to do when wait_timeout passes while somebody else computes. `compute`: here and now, for this caller alone; the
// result is not published, for the holder is still at it and its result is the one that counts.
enum class OnDeadline : std::uint8_t { error, compute };

struct ComputeOptions {
  Milliseconds wait_timeout{5 * 60 * 1000};  // the longest to wait for another holder, or for a daemon (at least 100 ms)
  OnDeadline on_deadline = OnDeadline::error;
  Milliseconds ttl{0};                       // fresh for so long; 0: until evicted or invalidated
  Milliseconds failure_ttl{5000};            // how long a failure stays the answer
  Milliseconds lease_limit{0};               // the longest the function may take before others take over; 0: the daemon's
  std::string content_type{};                // of published bytes when the function names none
  bool force = false;                        // compute even if there is a value
};

struct WaitOptions {
  Milliseconds timeout{5 * 60 * 1000};
};

struct PutOptions {
  Milliseconds ttl{0};
  std::string content_type{};
};

}  // namespace onced
