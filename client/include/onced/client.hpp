// onced::Client: ask for a value, compute it once across all processes of the machine, read it without a copy.
//
//   onced::Client client;
//   auto key = onced::KeyBuilder("global_store", "v1").add("apples").build();
//   auto value = client.get_or_compute(*key, {}, [&](onced::Computation& computation) -> std::string {
//     computation.progress(0.5, "half-way");
//     return expensive("apples");
//   });
//   if (value) use(value->bytes());
//
// Threads:   any number of threads may share a Client. It starts none: a waiting thread reads the socket for all.
// Fork:      safe. A child notices, leaves its parent's connection alone, and connects anew at its first call that needs
//            the daemon. Do not fork while another thread is inside a call.
// A hit makes no system call, takes no lock and copies nothing. Two exceptions: the first hit of a process on a large part
//            asks the daemon for its memory and maps it; the first hit after the daemon has dropped large parts that this
//            process had mapped unmaps them.
// Errors:    Result; nothing here throws, except what a compute function throws itself: it is told to the waiters as the
//            failure's text (std::exception::what()), then rethrown to its own caller.
// Stale:     a value past its ttl and within its grace is given at once, Value::stale(), while one caller computes its
//            successor; get_or_compute and acquire do that in the call that finds nobody at it. The caller that computes sees
//            what comes of it, also its own failure; everybody else goes on with the stale value for its grace. When the
//            daemon cannot be asked who is at it, the stale value is the answer, in strict mode too. The same goes for
//            values that are refreshed ahead of time, which are fresh (ComputeOptions::refresh_ahead).
// Daemon away: get_or_compute computes locally (L8), everything else answers `unavailable`. Away means: nobody listens, it
//            is shutting down, it has no room for another client, or it does not answer (it is stopped or stuck).
//            A daemon that refuses this client (not_permitted, no such namespace, version_mismatch) is not away: then
//            every call ends with that error, get_or_compute too.
// Deadlines: a call takes about as long as its own time-out says (but gives the daemon 100 ms), or connect_timeout and
//            request_timeout. `timed_out` is only ever about another holder; a daemon that does not answer is `unavailable`.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <onced/computation.hpp>
#include <onced/options.hpp>
#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/result.hpp>
#include <onced/subscription.hpp>
#include <onced/value.hpp>
#include <onced/value_builder.hpp>

namespace onced {

class Session;  // session.hpp

namespace client_detail {
// What a compute function has made: bytes, or (nothing) the parts of its builder.
using Computed = std::optional<std::string>;

template <typename T>
inline constexpr bool is_result_of_nothing = std::is_same_v<std::remove_cvref_t<T>, Result<void>>;

template <typename Compute>
Result<Computed> result_of(Compute& compute, Computation& computation) {
  using Returned = std::invoke_result_t<Compute&, Computation&>;
  if constexpr (std::is_void_v<Returned>) {
    std::invoke(compute, computation);
    return Computed();
  } else if constexpr (is_result_of_nothing<Returned>) {
    const Result<void> done = std::invoke(compute, computation);
    if (!done) return done.error();
    return Computed();
  } else {
    Result<std::string> bytes = std::invoke(compute, computation);
    if (!bytes) return bytes.error();
    return Computed(std::move(*bytes));
  }
}
}  // namespace client_detail

// Counters of this client in this process since its start.
struct ClientCounters {
  std::uint64_t hits = 0;             // read from memory, no system call
  std::uint64_t copied_hits = 0;      // of those: copied to the heap because no pin was free
  std::uint64_t requests = 0;         // asked the daemon
  std::uint64_t computed = 0;         // computed here under a lease
  std::uint64_t computed_locally = 0; // computed here without a daemon, or after on_deadline = compute
  std::uint64_t waited = 0;           // got another holder's result
  std::uint64_t reconnects = 0;
  std::uint64_t mapped_parts = 0;     // large parts whose memory was asked for and mapped
  std::uint64_t mappings = 0;         // of large parts, in this process now
  std::uint64_t mapping_bytes = 0;    // address space of those
  std::uint64_t stale_hits = 0;       // stale values that were given, from memory or by the daemon
  std::uint64_t refreshes = 0;        // leases for the successor of a value that was still usable
  std::uint64_t dependencies_dropped = 0;  // reads of computations that were above the limits of what is recorded
};

class Client {
 public:
  explicit Client(ClientOptions options = {});  // does not connect yet
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Connects now if not connected; otherwise the first call that needs the daemon does.
  Result<void> connect();

  // The value of `key`; computed by `compute` if nobody has it and nobody is at it. Waits for another holder up to
  // options.wait_timeout. `compute` returns the bytes (std::string), or nothing when it has filled computation.builder(),
  // or a Result of either, whose error becomes the failure's text.
  // Errors: computation_failed (told by the holder), cancelled, timed_out (names the holder), recursion, deadlock,
  // limit_reached; how the daemon refuses this client (not_permitted, not_found, version_mismatch, invalid_argument);
  // what is wrong in `options` unless it was a hit; unavailable only in strict mode. With a stale value at
  // hand none of them but what is wrong in `options` and what `compute` itself says.
  template <typename Compute>
  Result<Value> get_or_compute(const Key& key, const ComputeOptions& options, Compute&& compute) {
    return get_or_compute(key.bytes(), options, std::forward<Compute>(compute));
  }
  // As above for key bytes that KeyBuilder::build_view() gave: saves an allocation on the hit path.
  template <typename Compute>
  Result<Value> get_or_compute(std::string_view key, const ComputeOptions& options, Compute&& compute) {
    bool looked = true;
    std::optional<Value> found = client_detail::no_value();
    if (!options.force) {
      looked = peek_at_once(key, found, options.wait_timeout);
      if (found && found->age_ == client_detail::Age::fresh) [[likely]] return std::move(*found);
    }
    return compute_once(
        key, options,
        [&compute](Computation& computation) { return client_detail::result_of(compute, computation); }, looked, std::move(found));
  }

  // Memory only: the value if it is in the segment now. No system call, not even the first time in a connected client,
  // unless its unnamed part is large (above: request_timeout at most). One that is not connected tries to, for
  // connect_timeout at most. Nothing also when more Values are held than there are pins and a large part is not mapped.
  // A stale value within its grace too: Value::stale() says so, and nobody is asked to refresh it.
  std::optional<Value> peek(std::string_view key);
  std::optional<Value> peek(const Key& key) { return peek(key.bytes()); }

  // The low level: the value, or the lease to compute it; waits while another one computes.
  using Acquired = std::variant<Value, Computation>;
  Result<Acquired> acquire(std::string_view key, const ComputeOptions& options = {});
  Result<Acquired> acquire(const Key& key, const ComputeOptions& options = {}) { return acquire(key.bytes(), options); }

  // Until the key has a value, also when nobody computes it yet; never computes.
  Result<Value> wait(std::string_view key, const WaitOptions& options = {});
  Result<Value> wait(const Key& key, const WaitOptions& options = {}) { return wait(key.bytes(), options); }
  // The value wherever it is, on disk too, without waiting for others or computing: nothing when there is none, or none yet. A stale one within its
  // grace too, unless `options` say otherwise. Errors: as for the administrative requests; that there is no daemon to ask
  // is one; timed_out: it is still being read from disk after ClientOptions::disk_timeout.
  Result<std::optional<Value>> get(std::string_view key, const GetOptions& options = {});
  Result<std::optional<Value>> get(const Key& key, const GetOptions& options = {}) { return get(key.bytes(), options); }
  // Stores a value without a lease; who waits for the key gets it. Returns the key's new version, 0 when it could not
  // be stored (the arena is full of pinned records). Of any size up to the limits (4 GiB a part, 8 GiB a value). Errors:
  // out_of_memory (over the budget, named in the text), too_large, what is wrong in `options`, as for the
  // administrative requests; not_durable: it is stored, and PutOptions::durable could not be met.
  Result<std::uint64_t> put(std::string_view key, std::string bytes, const PutOptions& options = {});
  Result<std::uint64_t> put(const Key& key, std::string bytes, const PutOptions& options = {}) { return put(key.bytes(), std::move(bytes), options); }
  // The parts of a builder of this client, which must have one at least. PutOptions::content_type is that of the part
  // without a name if it has none of its own. When the connection has changed since parts were reserved, they are copied
  // to memory of the new one.
  Result<std::uint64_t> put(std::string_view key, ValueBuilder&& builder, const PutOptions& options = {});
  Result<std::uint64_t> put(const Key& key, ValueBuilder&& builder, const PutOptions& options = {}) { return put(key.bytes(), std::move(builder), options); }
  // `key`: of the value, where it is known before its parts are: when there is no memory for a large one, that is told about the key
  // (`oncectl explain`).
  ValueBuilder builder(std::string_view key = {});
  ValueBuilder builder(const Key& key) { return builder(key.bytes()); }

  // Unmaps the large parts that nobody views. The daemon's memory for a value that it has dropped is free when no process
  // maps it any more: every call that looks up or asks the daemon sees to that, so this is for a process that makes none for a long time.
  void trim();

  // Drop values and detach computations in flight (their results are not stored). After the reply
  // no reader finds the old value; soft: none as fresh. They return how many values (computations) were dropped, or made
  // stale (ended). Where values are kept on disk it also holds over any crash from then on (ClientOptions::disk_timeout); not_durable:
  // it holds as long as the daemon runs, for the disk fails.
  Result<std::uint64_t> invalidate(std::string_view key, const InvalidateOptions& options = {});
  Result<std::uint64_t> invalidate(const Key& key, const InvalidateOptions& options = {}) { return invalidate(key.bytes(), options); }
  Result<std::uint64_t> invalidate_function(std::string_view function, const InvalidateOptions& options = {});
  Result<std::uint64_t> invalidate_all(const InvalidateOptions& options = {});
  // Values that were stored with this tag (ComputeOptions::tags). Errors also: invalid_argument, too_large (above 128 bytes).
  Result<std::uint64_t> invalidate_tag(std::string_view tag, const InvalidateOptions& options = {});
  Result<std::uint64_t> cancel(std::string_view key);
  Result<std::uint64_t> cancel(const Key& key) { return cancel(key.bytes()); }
  Result<std::uint64_t> cancel_function(std::string_view function);

  // Sessions: include <onced/session.hpp>. A new one; the one of this id, or session_ended. Keys of sessions are asked of a Session, not
  // of the Client (not_permitted).
  Result<Session> new_session(const SessionOptions& options = {});
  Result<Session> session(std::string_view id);
  // Of all: digests, what they keep, when they end. Rows in order of numbers, after `cursor`.
  Result<protocol::SessionListing> list_sessions(std::uint64_t cursor = 0);

  Result<Subscription> subscribe(const Key& key);
  Result<Subscription> subscribe_function(std::string_view function);
  Result<Subscription> subscribe_all();

  // What the daemon says of itself (names as in `oncectl status --json`), its counters, its entries.
  Result<protocol::Report> status();
  Result<protocol::Statistics> statistics();
  Result<protocol::Listing> list(std::string_view function = {}, std::string_view cursor = {});
  Result<protocol::Explanation> explain(std::string_view key);
  Result<protocol::Explanation> explain(const Key& key) { return explain(key.bytes()); }

  // The values of this namespace on disk: how that is (names as in `oncectl disk status --json`), and work on it that goes on in the daemon
  // (verify, compact; stop ends it). not_found: they are kept in memory only.
  Result<protocol::Report> disk(protocol::DiskAction action = protocol::DiskAction::look);
  // Drops all of them, not those in memory. When it returns that is durable. Returns how many there were.
  Result<std::uint64_t> clear_disk();

  ClientCounters counters() const;
  // The socket's path after defaults and environment.
  std::string socket_path() const;
  // Of the present connection; nothing when there is none.
  std::optional<protocol::Welcome> welcome() const;

 private:
  using ComputeFunction = std::function<Result<client_detail::Computed>(Computation&)>;
  Result<Value> compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute,
                             bool looked, std::optional<Value> found);
  bool peek_at_once(std::string_view key, std::optional<Value>& value, Milliseconds within = Milliseconds::max());

  friend class Computation;
  friend class Session;
  friend class ValueBuilder;
  struct State;  // client/src/client_state.hpp
  std::unique_ptr<State> state_;
};

}  // namespace onced
