// A value or the reason why there is none.
//
// What may go wrong outside of us (a peer, a disk, a kernel limit) is a Result; its error holds a code for programs and
// one sentence with the facts for people ("length 70000 > 65536"). What can only be our own mistake is ONCED_ASSERT,
// which stays on in release builds. std::expected is not in the oldest compiler that we support (g++ 12).
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

// What is returned looks into the object that was asked: a compiler that understands it (clang) warns where a temporary is asked and its answer
// kept, as in `auto bytes = client.wait(key)->bytes();`.
#if defined(__has_cpp_attribute)
#if __has_cpp_attribute(clang::lifetimebound)
#define ONCED_LIFETIMEBOUND [[clang::lifetimebound]]
#endif
#endif
#ifndef ONCED_LIFETIMEBOUND
#define ONCED_LIFETIMEBOUND
#endif

namespace onced {

// Stable numbers: they travel on the wire (WIRE.md, "Error codes").
enum class ErrorCode : std::uint16_t {
  invalid_argument = 1,    // the caller's own mistake: a malformed key, an unknown option
  malformed = 2,           // bytes from outside do not follow the format
  version_mismatch = 3,    // the peer speaks another protocol version; the text names both
  too_large = 4,           // a length above a limit; the text names both
  limit_reached = 5,       // a count above a limit; the text names the limit's setting
  not_permitted = 6,       // this uid may not
  unknown_token = 7,       // the lease is not the newest of its key any more (or never was)
  recursion = 8,           // a computation asked for its own key
  deadlock = 9,            // waiting would close a cycle between holders
  timed_out = 10,          // the caller's own deadline; the text names the holder
  cancelled = 11,          // somebody cancelled the computation
  computation_failed = 12, // the computation said so; the text is its own
  unavailable = 13,        // no daemon, or it is shutting down
  not_found = 14,          // no such key, function or namespace
  out_of_memory = 15,      // the arena is full of pinned records
  internal = 16,           // a defect of ours
  session_ended = 17,      // it ended, expired, has another id by now, or never was: which of these is not told
  not_durable = 18,        // it holds as long as the daemon lives; the disk failed, and whether it holds afterwards is not known
};

// "timed_out" and so on: for logs, JSON and `refused` replies.
std::string_view name_of(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string text;  // one sentence: what happened, with what, what to do next
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Precondition of value(): ok(). Precondition of error(): !ok().
  T& value() & ONCED_LIFETIMEBOUND { return std::get<0>(state_); }
  const T& value() const& ONCED_LIFETIMEBOUND { return std::get<0>(state_); }
  T&& value() && ONCED_LIFETIMEBOUND { return std::get<0>(std::move(state_)); }
  T& operator*() & ONCED_LIFETIMEBOUND { return value(); }
  const T& operator*() const& ONCED_LIFETIMEBOUND { return value(); }
  T&& operator*() && ONCED_LIFETIMEBOUND { return std::move(*this).value(); }
  T* operator->() ONCED_LIFETIMEBOUND { return &value(); }
  const T* operator->() const ONCED_LIFETIMEBOUND { return &value(); }
  const Error& error() const ONCED_LIFETIMEBOUND { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}
  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const ONCED_LIFETIMEBOUND { return error_; }

 private:
  Error error_;
  bool ok_ = true;
};

[[noreturn]] inline void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "onced: assertion failed: %s (%s:%d); this is a defect, please report it\n", expression, file, line);
  std::abort();
}

}  // namespace onced

// An invariant of our own. Never on bytes that come from a client, a file or the network.
#define ONCED_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::onced::assertion_failed(#condition, __FILE__, __LINE__))
