// What a Client has in every process it is used in, and how it asks the daemon.
#pragma once

#include <atomic>
#include <string>
#include <string_view>

#include <onced/client.hpp>
#include <onced/session.hpp>

#include "connector.hpp"
#include "held_leases.hpp"
#include "session_access.hpp"
#include "turned_away.hpp"

namespace onced {

namespace client_detail {
// A refusal as the error it is; anything else is no answer to what was asked.
Error error_of(const protocol::Reply& reply);
}  // namespace client_detail

struct Client::State {
  explicit State(ClientOptions options_in);
  ~State();

  // For this process: made anew in a forked child, which leaves its parent's alone.
  client_detail::Connector& connector_here();

  // Asks, and asks once more over a new connection when the present one turns out to be broken. Errors: no daemon, or
  // no answer from it in time (unavailable), why it would not have us, a refusal.
  // `session`: what the request names, which is opened first; `over`: the connection that answered; `again`: an answer before this one may have
  // been lost with its connection.
  template <typename Answer>
  Result<Answer> ask(const protocol::Request& request, Session::State* session = nullptr, client_detail::AttachmentRef* over = nullptr, bool* again = nullptr) {
    auto reply = ask_for_reply(request, session, over, again);
    if (!reply) return reply.error();
    if (auto* answer = std::get_if<Answer>(&*reply)) return std::move(*answer);
    return client_detail::error_of(*reply);
  }
  // What an answer says of how many values it was.
  static Result<std::uint64_t> count_of(const Result<protocol::Done>& done) {
    if (!done) return done.error();
    return done->count;
  }
  Result<protocol::Reply> ask_for_reply(const protocol::Request& request, Session::State* session, client_detail::AttachmentRef* over, bool* again);
  // The session that a request makes or opens; `id`: unless the answer says it.
  Result<Session> session_by(const protocol::Request& request, std::string id, bool* again = nullptr);
  // Gets the memory of what a look-up has found; without it there is no value.
  void map_unnamed(std::optional<Value>& value, Milliseconds within);
  // Stores the parts of a builder.
  Result<protocol::Published> put(std::string_view key, ValueBuilder::State& parts, const PutOptions& put_options, Session::State* session);
  // The caller gets this value: it is counted if it is stale, and recorded if a computation reads it.
  void given(std::string_view key, const Value& value) { given(key, value.version(), value.stale()); }
  void given(std::string_view key, std::uint64_t version, bool stale);
  // Whether what a look-up found is the caller's answer, and nobody needs to be asked. What may not be used is dropped; what
  // is left is usable, and due to be refreshed.
  bool suffices(std::string_view key, std::optional<Value>& found, bool accept_stale);
  // The version of a key's value, 0 when it has none: for depends_on.
  std::uint64_t version_now(std::string_view key, Session::State* session);
  // Something that was read is not recorded: counted, and told to the operator once.
  void tell_dropped(std::string_view key, std::uint64_t dropped);
  // Told to the operator once for a run of such results.
  void tell_unkept(std::string_view key, const Error& why);
  void tell_not_durable(std::string_view key, const Error& why);
  // How long a request may take that is answered when the disk has done its part: a daemon that is not there is found out within `answer`.
  static client_detail::Patience patience_with_disk(Milliseconds disk, Milliseconds answer);
  client_detail::Patience patience_for(const protocol::Request& request) const;
  // Like peek() for a thread, process or client that is not ready for it yet. Takes until `deadline` at most.
  void peek_slowly(std::string_view key, std::optional<Value>& value, client_detail::Deadline deadline, const client_detail::SessionAccess* session);
  // False: this thread, process or client is not ready to look, or the look was spoilt; peek_slowly() does it. A value that is
  // fresh counts as given; one of another age is for the caller to judge. (peek.hpp)
  bool peek_at_once(std::string_view key, std::optional<Value>& value, Milliseconds within, const client_detail::SessionAccess* session);

  // Client's and Session's calls (asking.cpp). A key that names a session is taken with that session only.
  std::optional<Value> peek(std::string_view key, const client_detail::SessionAccess* session);
  Result<Acquired> acquire(std::string_view key, const ComputeOptions& options, Session::State* session);
  Result<Value> wait(std::string_view key, const WaitOptions& options, Session::State* session);
  Result<std::optional<Value>> get(std::string_view key, const GetOptions& options, Session::State* session);
  Result<protocol::Listing> list(std::string_view function, std::string_view cursor, Session::State* session);
  ValueBuilder builder(std::string_view key);
  Result<std::uint64_t> put_built(std::string_view key, ValueBuilder&& builder, const PutOptions& options, Session::State* session);
  Result<Value> compute_once(std::string_view key, const ComputeOptions& options, const ComputeFunction& compute, bool looked,
                             std::optional<Value> found, Session::State* session);
  static Milliseconds until(client_detail::Deadline deadline);

  // How long one call may take: what it waits for others, and what the daemon itself may take to connect and to answer.
  struct Times {
    client_detail::Deadline begun;
    client_detail::Deadline until;
    Milliseconds connect;
    Milliseconds answer;
    Milliseconds disk{0};  // for the answer to a request that is not to wait for others, when the value must be read from disk; 0: no longer
  };
  // Of a call that waits for others: the daemon's own time is within the caller's.
  Times times_within(Milliseconds wait) const;

  // The value, or a lease.
  struct Acquiring {
    bool away = false;      // the daemon could not be asked (L8)
    bool answered = false;  // an error is the daemon's answer to this very request
    Result<Acquired> result;
  };
  struct Ask {
    bool may_compute = false;
    bool accept_stale = false;
    bool refresh = false;
    Session::State* session = nullptr;
    static Ask to_wait(bool accept_stale, Session::State* session) { return {false, accept_stale, false, session}; }
    // `found`: a value that is due to be refreshed.
    static Ask to_compute(const ComputeOptions& options, const std::optional<Value>& found, Session::State* session) {
      return {true, options.accept_stale && !options.force, found && !found->stale(), session};
    }
  };
  Acquiring acquire(std::string_view key, const ComputeOptions& options, const Ask& ask, const Times& times);
  Computation local_computation(std::string_view key, const ComputeOptions& options);

  const ClientOptions options;
  const client_detail::Identity identity;
  // Release in connector_here(), acquire where it is read: a Connector is complete before it is seen.
  std::atomic<client_detail::Connector*> connector;

  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> computed{0};
  std::atomic<std::uint64_t> computed_locally{0};
  std::atomic<std::uint64_t> waited{0};
  std::atomic<std::uint64_t> stale_hits{0};
  std::atomic<std::uint64_t> refreshes{0};
  std::atomic<std::uint64_t> dependencies_dropped{0};
  client_detail::TurnedAway turned_away;  // whose offers to refresh were of no use a moment ago
  std::atomic<bool> dropped_told{false};
  // A result could not be kept, and that has been told: not again before one is kept.
  std::atomic<bool> unkept_told{false};
  // The same of one that could not be made durable.
  std::atomic<bool> not_durable_told{false};
};

// A lease, or a local computation (no attachment). Of one process: in a forked child everything about it is local.
struct Computation::State {
  Client::State& client;
  client_detail::Connector& connector;
  client_detail::AttachmentRef attachment;
  protocol::Token token;
  std::string key;
  ComputeOptions options;
  std::shared_ptr<client_detail::HeldLeases> held;
  std::shared_ptr<client_detail::Dependencies> dependencies;  // null: of none
  std::shared_ptr<Session::State> session;                    // null: the key is of none
  client_detail::Process* process;
  client_detail::Deadline started;
  std::atomic<bool> ended{false};     // relaxed: progress() and cancelled() may look while publish() ends it
  std::unique_ptr<ValueBuilder> builder{};  // made when it is first needed

  bool has_lease() const { return attachment && !ended.load(std::memory_order_relaxed) && process == client_detail::Process::current(); }
  // Not held any more, whatever the daemon says to how it ended.
  void end();
  // Ends the lease with a request whose answer does not matter.
  void end_with(client_detail::Attachment& over, const protocol::Request& last);
  // The daemon could not be told that a lease has ended.
  void give_up(client_detail::Attachment& over, const Error& why);
  Result<protocol::Published> publish();
  protocol::Retention retention_over(const client_detail::Attachment& over) const;
  Result<protocol::Published> publish_under(client_detail::Attachment& over, const protocol::Token& lease);
  // The lease of a result that cannot be kept.
  void end_unkept(client_detail::Attachment& over, const protocol::Token& lease, const Error& why);
  ValueBuilder& builder_here();
};

}  // namespace onced
