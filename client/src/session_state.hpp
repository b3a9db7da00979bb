// What the handles of a session under one id share.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <onced/session.hpp>

#include "client_state.hpp"
#include "session_access.hpp"

namespace onced {

struct Session::State : std::enable_shared_from_this<Session::State> {
  State(Client::State& client_in, std::string id_in, const protocol::SessionOpened& answer, const client_detail::Attachment& over);

  // Shows the id over this connection, unless that was done. Errors: session_ended; why the daemon did not answer.
  Result<void> open_over(client_detail::Attachment& attachment, client_detail::Deadline deadline);
  // The daemon has forgotten that it was opened there.
  void forget_opened() { opened_on_.store(0, std::memory_order_relaxed); }
  // Whether a key is one of this session.
  Result<void> check(std::string_view key) const;
  protocol::Scope scope() const { return {protocol::ScopeKind::session, std::to_string(access.grant.number)}; }

  Client::State& client;
  const std::string id;
  client_detail::SessionAccess access;  // the grant never changes
  const Milliseconds idle_ttl;
  const Milliseconds absolute_ttl_left;

 private:
  // The daemon's number of the connection over which it was shown last. Relaxed: a thread that does not see it shows it once more.
  std::atomic<std::uint64_t> opened_on_;
};

namespace client_detail {
// Whether the caller may ask for this key, with this session or (null) without one.
Result<void> check_session(std::string_view key, const Session::State* session);
// The daemon keeps the latest sessions that a connection has opened: this answer says that one is to be opened again.
bool forgot_session(const protocol::Reply& reply);
// Whether its value may be said to depend on these: everybody's, or the same session's.
Result<void> check_upstreams(const std::vector<Key>& depends_on, const Session::State* session);
}  // namespace client_detail

}  // namespace onced
