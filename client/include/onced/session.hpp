// onced::Session: the values of one application user, apart from everybody else's.
//
//   auto session = client.session(cookie);                     // or client.new_session(), whose id() goes into the cookie
//   if (!session) return login();                              // session_ended: it ended, expired, or never was
//   auto key = session->key("basket", "v1").add("2026").build();
//   auto value = session->get_or_compute(*key, {}, [&](onced::Computation&) { return basket_of(user); });
//   ...
//   session = session->rotate();                               // at login: a new id, the same data, the old id is dead
//   session->end();                                            // at logout: all of it is gone
//
// A key is computed once in each session, and a key without a session once for all: the latter are the Client's, which takes no key
// of a session, as a Session takes no other keys. Within a namespace a session is a boundary of this API, not of memory.
//
// An id is a secret, like a password: in a cookie it is Secure and HttpOnly; it belongs into no log and no command line.
//
// Threads:   as for a Client: any number may share a Session. Copies are the same session.
// Fork:      safe, as a Client is. The child shows the id again at its first request.
// Lifetime:  the Client that made it must outlive it.
// Errors:    those of Client, and session_ended: the session has ended, has expired, or has another id by now (rotate()). From then on
//            there is no hit, also not from this process's own mapping, but values that are held stay readable. A daemon that was started anew
//            has those of the former one that are kept on disk: a Session goes on with it. rotate() and end() return when that is on stable
//            storage there; not_durable (of end()): it has ended, and may be found again if the daemon ends before its disk works again. A
//            connection that is lost meanwhile: end() goes on and gives 0 when it had ended by then; rotate() may give session_ended, and
//            nobody knows the new id.
// A hit makes no system call here either, and keeps the session alive: it is marked in shared memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <onced/client.hpp>

namespace onced {

class Session {
 public:
  // To give back later: client.session(id).
  const std::string& id() const ONCED_LIFETIMEBOUND;
  // In keys; no secret.
  std::uint64_t number() const;
  // For how long it may not be used before it ends; 0: for ever. For hits up to a quarter more.
  Milliseconds idle_ttl() const;
  // Of its age, when this handle was made; 0: for ever.
  Milliseconds absolute_ttl_left() const;

  // A key of this session.
  KeyBuilder key(std::string_view function, std::string_view version = {}) const { return KeyBuilder(function, version, number()); }

  // As in Client, for keys of this session.
  template <typename Compute>
  Result<Value> get_or_compute(std::string_view key, const ComputeOptions& options, Compute&& compute) {
    std::optional<Value> found;
    bool looked = true;
    if (look_first(key, options, found, looked)) return std::move(*found);
    return compute_once(
        key, options, [&compute](Computation& computation) { return client_detail::result_of(compute, computation); }, looked,
        std::move(found));
  }
  template <typename Compute>
  Result<Value> get_or_compute(const Key& key, const ComputeOptions& options, Compute&& compute) {
    return get_or_compute(key.bytes(), options, std::forward<Compute>(compute));
  }
  // Nothing also when the session has ended.
  std::optional<Value> peek(std::string_view key);
  std::optional<Value> peek(const Key& key) { return peek(key.bytes()); }
  Result<Client::Acquired> acquire(std::string_view key, const ComputeOptions& options = {});
  Result<Client::Acquired> acquire(const Key& key, const ComputeOptions& options = {}) { return acquire(key.bytes(), options); }
  Result<Value> wait(std::string_view key, const WaitOptions& options = {});
  Result<Value> wait(const Key& key, const WaitOptions& options = {}) { return wait(key.bytes(), options); }
  Result<std::optional<Value>> get(std::string_view key, const GetOptions& options = {});
  Result<std::optional<Value>> get(const Key& key, const GetOptions& options = {}) { return get(key.bytes(), options); }
  Result<std::uint64_t> put(std::string_view key, std::string bytes, const PutOptions& options = {});
  Result<std::uint64_t> put(const Key& key, std::string bytes, const PutOptions& options = {}) { return put(key.bytes(), std::move(bytes), options); }
  // A builder of the client.
  Result<std::uint64_t> put(std::string_view key, ValueBuilder&& builder, const PutOptions& options = {});
  Result<std::uint64_t> put(const Key& key, ValueBuilder&& builder, const PutOptions& options = {}) { return put(key.bytes(), std::move(builder), options); }
  Result<std::uint64_t> invalidate(std::string_view key, const InvalidateOptions& options = {});
  Result<std::uint64_t> invalidate(const Key& key, const InvalidateOptions& options = {}) { return invalidate(key.bytes(), options); }
  Result<std::uint64_t> invalidate_all(const InvalidateOptions& options = {});  // of this session, which goes on
  Result<std::uint64_t> cancel(std::string_view key);
  Result<std::uint64_t> cancel(const Key& key) { return cancel(key.bytes()); }
  Result<std::uint64_t> cancel_all();
  Result<protocol::Listing> list(std::string_view function = {}, std::string_view cursor = {});
  Result<protocol::Explanation> explain(std::string_view key);
  Result<protocol::Explanation> explain(const Key& key) { return explain(key.bytes()); }
  // They end with the session, and at its rotation: session_ended.
  Result<Subscription> subscribe(const Key& key);
  Result<Subscription> subscribe();  // to all keys of this session, and to its end

  // Counts as a use: for who uses it without asking for anything.
  Result<void> touch();
  // The same session under a new id: at login, so that whoever had learned the old one has nothing. The old id, this handle and all
  // others of it are dead when it returns, and what is computed under it is nobody's.
  Result<Session> rotate();
  // All of it is gone when it returns: no reader finds any of it, nothing that is computed in it will be stored, its memory is wiped as
  // soon as no value of it is held. Returns how many values it had.
  Result<std::uint64_t> end();

  struct State;  // client/src/session_state.hpp
  explicit Session(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  using ComputeFunction = std::function<Result<client_detail::Computed>(Computation&)>;
  // True: it is the caller's answer.
  bool look_first(std::string_view key, const ComputeOptions& options, std::optional<Value>& found, bool& looked);
  Result<Value> compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute, bool looked,
                             std::optional<Value> found);

  std::shared_ptr<State> state_;
};

}  // namespace onced
