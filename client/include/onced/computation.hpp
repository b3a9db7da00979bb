// A lease in the hands of the one who computes.
//
// Ownership: ends its lease exactly once: by publish(), fail(), or abandon(), which the destructor calls when neither
//            happened. Movable. Must not outlive its Client.
// Threads:   one at a time; progress() and cancelled() may be called from any thread beside it. The lease counts as
//            held by the thread that acquired it (nested computations, deadlock detection).
// Errors:    publishing late (the lease has passed on, the daemon is away) is not an error for the caller: it has its
//            value; Value::version() is 0 then.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <onced/options.hpp>
#include <onced/protocol/result.hpp>
#include <onced/value.hpp>

namespace onced {

class Computation {
 public:
  Computation(Computation&&) noexcept;
  Computation& operator=(Computation&&) noexcept;
  ~Computation();

  // Ends the lease well. The bytes are visible to every process when this returns, and are the returned Value.
  // A result above 64 KiB is too_large: not kept, and every waiter is told so (as by fail()), or each would compute in vain.
  Result<Value> publish(std::string bytes, std::string_view content_type = {});
  // Ends it badly: every waiter is told this text; it stays the answer for ComputeOptions::failure_ttl.
  void fail(std::string_view text);
  // Gives it back; the next waiter computes.
  void abandon();

  // Tells waiters and subscribers how far it is; `fraction` in [0, 1], NaN when unknown. Never blocks; dropped when the
  // socket is full.
  void progress(double fraction, std::string_view text = {});
  // Somebody cancelled or invalidated it, or its limit has passed: the result will not be stored. Reads the socket if
  // there is something to read, never blocks: cheap enough for an outer loop.
  bool cancelled();
  // True when there is no daemon and this is a plain local computation.
  bool local() const;

  struct State;  // client/src/
  explicit Computation(std::unique_ptr<State> state);

 private:
  std::unique_ptr<State> state_;
};

}  // namespace onced
