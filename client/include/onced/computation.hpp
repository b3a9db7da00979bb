// A lease in the hands of the one who computes.
//
// Ownership: ends its lease exactly once: by publish(), fail(), or abandon(), which the destructor calls when neither
//            happened. Movable. Must not outlive its Client.
// Threads:   one at a time; progress() and cancelled() may be called from any thread beside it. The lease counts as
//            held by the thread that acquired it (nested computations, deadlock detection).
// Errors:    that a result cannot be stored is not an error for the caller: it has its value; Value::version() is 0 then,
//            and Value::not_stored() says why: the lease has passed on, the daemon is away, the value is above a limit, or
//            the budget is used up, or what it was computed from was invalidated meanwhile (its code tells these apart: unknown_token,
//            unavailable, too_large, out_of_memory, limit_reached). Those who wait are told of a value above a limit as by fail(), for each would compute
//            in vain. In the other cases the next of them computes: it may have more luck, and has its own result then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <onced/options.hpp>
#include <onced/protocol/result.hpp>
#include <onced/value.hpp>
#include <onced/value_builder.hpp>

namespace onced {

class Computation {
 public:
  Computation(Computation&&) noexcept;
  Computation& operator=(Computation&&) noexcept;
  ~Computation();

  // Ends the lease well: the value is these bytes, in a part without a name, beside the parts of builder() if it has any.
  // It is visible to every process when this returns, and is the returned Value. Of any size up to the limits (4 GiB a
  // part, 8 GiB a value). Errors: what the caller has got wrong, as in ValueBuilder; told to those who wait as well.
  Result<Value> publish(std::string bytes, std::string_view content_type = {});
  // As above with the parts of builder(), which must have one at least.
  Result<Value> publish();

  // The parts that publish() publishes.
  ValueBuilder& builder();
  // builder().reserve(): memory for a part, to be written in place.
  Result<std::span<std::byte>> reserve(std::string_view part, std::uint64_t bytes, std::string_view content_type = {}) {
    return builder().reserve(part, bytes, content_type);
  }

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
