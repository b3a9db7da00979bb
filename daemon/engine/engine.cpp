#include "engine/engine.hpp"

#include <algorithm>
#include <utility>

#include <onced/protocol/session.hpp>

#include "engine/blobs.hpp"
#include "engine/catalog.hpp"
#include "engine/computations.hpp"
#include "engine/connections.hpp"
#include "engine/context.hpp"
#include "engine/directory.hpp"
#include "engine/disk_values.hpp"
#include "engine/explanations.hpp"
#include "engine/function_table.hpp"
#include "engine/key_fields.hpp"
#include "engine/reports.hpp"
#include "engine/sessions.hpp"
#include "engine/signal_hub.hpp"

namespace onced::engine {

struct Engine::State {
  State(Settings settings, RecordStore& store, BlobStore& blob_store, DiskTier* disk_tier)
      : context{.settings = std::move(settings), .disk = disk_tier},
        session_table(context.hash, store.session_places()),
        blobs(context, connections, blob_store,
              [this](const Connection& from, const protocol::Reserve& request) { return catalog.make_room_for_blob(request.bytes, newcomer_of(from, request)); },
              [this](const Connection& from, const protocol::Reserve& request, const std::string& why) {
                if (const std::string_view key = key_of(from, request); !key.empty()) catalog.memory_refused(key, from.description, why);
              }),
        catalog(context, directory, functions, store, signals, blobs),
        sessions(context, connections, session_table, computations, signals, store, disk) {}

  Context context;
  Connections connections;
  FunctionTable functions{context.hash};
  SessionTable session_table;
  Directory directory{functions, session_table, context.hash};
  SignalHub signals{context, [this](const protocol::Scope& scope, protocol::State& state) { reports.describe(scope, state); }};
  Blobs blobs;
  Catalog catalog;
  DiskValues disk{context, connections, context.disk};
  Computations computations{context, connections, directory, functions, catalog, signals, blobs, disk};
  Sessions sessions;
  Reports reports{context, connections, directory, functions, signals, catalog, computations, blobs};
  Explanations explanations{context, directory, catalog, computations};

  // One overload per event.
  void on(Connected&& event);
  void on(const Disconnected& event);
  void on(const ProcessDied& event);
  void on(Requested&& event);
  void on(const SignalsSent& event) { signals.sent(event.connection, event.subscription, event.count); }
  void on(const Ticked&) { sessions.go_on(computations.go_on()); }
  void on(const Draining&);
  void on(const DiskWritten& event) { computations.written(event); }
  void on(DiskLoaded&& event);
  void place(DiskLoaded& event);
  void on(const SessionsFound& event) { sessions.found(event); }

  // One overload per request. Those without a ReplyAddress have no answer.
  void answer(Connection& from, protocol::RequestId id, protocol::Request&& request, const std::optional<SessionSecret>& secret);
  void end_everything_of(Connection& connection);
  std::optional<Catalog::Newcomer> newcomer_of(const Connection& connection, const protocol::Reserve& request) const;
  std::string_view key_of(const Connection& connection, const protocol::Reserve& request) const;
  State& with_recent_uses() {
    catalog.harvest();
    return *this;
  }
  // What readers say of their hits, as of now, for what is asked about it.
  Reports& with_readers_hits(Time now) {
    context.recent.look(catalog.store(), now);
    return reports;
  }
};

protocol::Reply whole_reply(const Send& send) {
  protocol::Reply reply = send.reply;
  if (send.parts != nullptr) std::get<protocol::Value>(reply).parts = *send.parts;
  return reply;
}

Engine::Engine(Settings settings, RecordStore& store, BlobStore& blobs, DiskTier* disk)
    : state_(std::make_unique<State>(std::move(settings), store, blobs, disk)) {}
Engine::~Engine() = default;

// The event first, then what has fallen due: a holder that is late by less than the tick is still in time.
void Engine::apply(Event event, Time now, Effects& effects) {
  State& state = *state_;
  state.context.now = std::max(state.context.now, now);
  state.context.effects = &effects;
  std::visit([&](auto&& one) { state.on(std::forward<decltype(one)>(one)); }, std::move(event));
  state.computations.run_deadlines();
  state.sessions.let_time_pass();
  state.computations.let_queues_move();
  state.blobs.retry();
  state.catalog.let_time_pass();
  state.catalog.harvest_now_and_then();
  state.context.recent.look_when_due(state.catalog.store(), state.connections.size(), state.context.now);
  if (state.blobs.passed_in_step()) state.catalog.put_off_reclaim();  // the descriptor must be there when the effect is carried out
  else state.catalog.reclaim_urgent();
  state.directory.sweep();
  state.sessions.sweep();
  state.context.effects = nullptr;
}

std::optional<Time> Engine::next_deadline() const {
  if (state_->computations.has_work_left() || state_->sessions.has_work_left()) return state_->context.now;
  std::optional<Time> earliest;
  for (const std::optional<Time> one : {state_->computations.next_deadline(), state_->catalog.next_turn(), state_->catalog.next_reclaim(),
                                        state_->blobs.next_retry(), state_->context.recent.next_look(), state_->sessions.next_turn()})
    if (one && (!earliest || *one < *earliest)) earliest = one;
  return earliest;
}

void Engine::reconfigure(const Settings& settings) {
  const Settings before = std::exchange(state_->context.settings, settings);
  state_->context.settings.epoch = before.epoch;
  state_->context.settings.hash_secret = before.hash_secret;
  state_->context.settings.daemon_version = before.daemon_version;
  state_->context.settings.daemon_pid = before.daemon_pid;
  state_->catalog.limits_changed();
  state_->computations.limits_changed();
}

protocol::Statistics Engine::statistics(Time now) const { return state_->with_readers_hits(now).statistics(now); }

void Engine::turn_took(Duration took, Time ended) { state_->context.longest_turn.add(took, ended); }

void Engine::check_invariants() const {
  state_->computations.check_invariants();
  state_->catalog.check_invariants();
  state_->blobs.check_invariants();
  state_->directory.check_invariants();
  state_->signals.check_invariants();
  state_->sessions.check_invariants();
  state_->disk.check_invariants();
  for (const auto& [id, connection] : state_->connections.all())
    ONCED_ASSERT(!connection.gone || (connection.waits.empty() && connection.leases.empty() &&
                                      connection.subscriptions.empty() && connection.invalidations.empty() && connection.cancellations.empty() &&
                                      connection.held_back.empty() && connection.session_ends.empty() && connection.opened.size() == 0));
}

std::vector<std::string> Engine::tags_of(std::string_view key) const {
  std::vector<std::string> names;
  if (const Entry* const entry = std::as_const(state_->directory).find(key))
    for (const TagPlace& place : entry->tags) names.emplace_back(place.tag->name);
  return names;
}

bool Engine::is_loading(std::string_view key) const {
  const Entry* const entry = std::as_const(state_->directory).find(key);
  return entry != nullptr && entry->loading.has_value();
}

// ---- events ---------------------------------------------------------------------------------------------------------

void Engine::State::on(Connected&& event) {
  ONCED_ASSERT(connections.find(event.connection) == nullptr);  // the host never uses a number twice
  connections.add(event.connection, std::move(event.description), event.process);
}

void Engine::State::on(const Disconnected& event) {
  Connection* connection = connections.find(event.connection);
  if (connection == nullptr) return;
  end_everything_of(*connection);
  connections.remove(event.connection);
}

void Engine::State::on(const ProcessDied& event) {
  Connection* connection = connections.find(event.connection);
  if (connection == nullptr) return;
  end_everything_of(*connection);
}

void Engine::State::end_everything_of(Connection& connection) {
  signals.unsubscribe_all(connection);
  computations.process_gone(connection);
  sessions.connection_gone(connection);
  blobs.connection_gone(connection);
}

// Of the value that a reservation says it is for. Empty: it does not say, or it is one in a session that this connection may not name.
std::string_view Engine::State::key_of(const Connection& connection, const protocol::Reserve& request) const {
  if (!protocol::names_session(request.key)) return request.key;
  const SessionNumber number = protocol::session_in(request.key).value_or(0);
  const Session* const session = session_table.find(number);
  return session != nullptr && connection.opened.generation_of(number) == session->generation ? std::string_view(request.key) : std::string_view();
}

// For a large blob, or one more of many, what this connection computes: of the key that the reservation names, or else the dearest of all. Where
// it may come long before the computation is over, the average of the function counts as well, and nothing is known of a value whose function was
// never computed. What nobody computes is put, and worth what any value is of its function, or of one of which nothing was measured.
std::optional<Catalog::Newcomer> Engine::State::newcomer_of(const Connection& connection, const protocol::Reserve& request) const {
  if (connection.reserved_bytes + request.bytes <= context.settings.blob_bytes_max / Catalog::large_share) return std::nullopt;
  const std::string_view key = key_of(connection, request);
  std::optional<Catalog::Newcomer> dearest;
  for (const std::uint64_t counter : connection.leases) {
    const Lease& lease = computations.leases().all().at(counter);
    if (!key.empty() && lease.entry->key != key) continue;
    const FunctionNumber function = lease.entry->function;
    const bool was_measured = functions.at(function).computations > 0;
    if (!was_measured && !request.ready) return std::nullopt;
    const std::uint64_t so_far_us = microseconds_between(lease.granted, context.now);
    const std::uint64_t one_us = was_measured ? std::max(so_far_us, catalog.worth_us(function, std::nullopt)) : so_far_us;
    const std::size_t waiting = lease.detached ? lease.waiters.size() : lease.entry->waiters.size();
    const double worth_us = static_cast<double>(one_us) * static_cast<double>(1 + waiting);
    if (!dearest || worth_us > dearest->worth_us) dearest = Catalog::Newcomer{lease.entry->key, worth_us};
  }
  if (dearest) return dearest;
  const Function* const function = key.empty() ? nullptr : functions.find(function_of(key));
  const bool was_measured = function != nullptr && function->computations > 0;
  const std::uint64_t worth_us = was_measured ? catalog.worth_us(function->number, std::nullopt) : Catalog::worth_us_default;
  return Catalog::Newcomer{key, static_cast<double>(worth_us), was_measured};
}

void Engine::State::on(Requested&& event) {
  Connection* from = connections.find(event.connection);
  // A child may still write to the socket of its dead parent; it is nobody we know.
  if (from == nullptr || from->gone) return;
  blobs.claim(*from, event.request);
  answer(*from, event.id, std::move(event.request), event.secret);
  blobs.give_claims_back();
}

void Engine::State::on(const Draining& event) {
  context.draining = true;
  context.draining_why = event.why;
  computations.drain();
  sessions.drain();
  disk.drain();
  blobs.drain();
}

// What the disk has brought needs places, and the cache has taken them all before long: values go for it, but for nothing that nobody wants
// or that was invalidated meanwhile.
void Engine::State::place(DiskLoaded& event) {
  const auto brought = std::exchange(event.value->brought, nullptr);
  const Entry* const wanting = disk.take(event.ticket);
  if (wanting != nullptr && !wanting->loading->is_void) static_cast<void>(catalog.make_places_for_blobs(brought->blobs()));
  const auto placed = brought->place(event.value->parts);
  if (placed) return;
  event.value.reset();
  event.problem = placed.error().text;
}

void Engine::State::on(DiskLoaded&& event) {
  if (event.value && event.value->brought) place(event);
  if (event.value) blobs.adopt(event.value->parts);
  computations.loaded(std::move(event));
  blobs.give_claims_back();
}

namespace {

// The key that a request asks about or would make; empty: none.
std::string_view key_in(const protocol::Request& request) {
  using namespace protocol;
  const auto of_scope = [](const Scope& scope) {
    return scope.kind == ScopeKind::key ? std::string_view(scope.subject) : std::string_view();
  };
  if (const auto* acquire = std::get_if<Acquire>(&request)) return acquire->key;
  if (const auto* put = std::get_if<Put>(&request)) return put->key;
  if (const auto* explain = std::get_if<Explain>(&request)) return explain->key;
  if (const auto* invalidate = std::get_if<Invalidate>(&request)) return of_scope(invalidate->scope);
  if (const auto* cancel = std::get_if<Cancel>(&request)) return of_scope(cancel->scope);
  if (const auto* subscribe = std::get_if<Subscribe>(&request)) return of_scope(subscribe->scope);
  return {};
}

// The session that it is about. A request about a lease has shown it when it got the lease.
std::optional<SessionNumber> session_named_in(const protocol::Request& request) {
  using namespace protocol;
  const auto of_scope = [](const Scope& scope) {
    return scope.kind == ScopeKind::session ? session_number_in(scope.subject) : std::nullopt;
  };
  if (const std::string_view key = key_in(request); names_session(key)) return session_in(key).value_or(0);
  if (const auto* invalidate = std::get_if<Invalidate>(&request)) return of_scope(invalidate->scope);
  if (const auto* cancel = std::get_if<Cancel>(&request)) return of_scope(cancel->scope);
  if (const auto* subscribe = std::get_if<Subscribe>(&request)) return of_scope(subscribe->scope);
  if (const auto* list = std::get_if<List>(&request); list != nullptr && list->session != 0) return list->session;
  return std::nullopt;
}

}  // namespace

// ---- requests -------------------------------------------------------------------------------------------------------

void Engine::State::answer(Connection& from, protocol::RequestId id, protocol::Request&& request, const std::optional<SessionSecret>& secret) {
  using namespace protocol;
  const bool has_answer = !std::holds_alternative<Withdraw>(request) && !std::holds_alternative<TakeUp>(request) &&
                          !std::holds_alternative<Progress>(request) && !std::holds_alternative<Release>(request);
  if (has_answer && from.in_flight(id))
    return context.close(from.id, "request id " + std::to_string(id) + " is in flight already on this connection");
  const ReplyAddress to{from.id, id};
  const bool about_the_daemon = std::holds_alternative<GetStatus>(request) || std::holds_alternative<GetStats>(request);
  if (context.draining && has_answer && !about_the_daemon && !std::holds_alternative<Hello>(request))
    return context.refuse(to, ErrorCode::unavailable, context.draining_why);

  if (const auto session = session_named_in(request); session && !sessions.may_name(from, to, *session)) return;
  if (const auto* put = std::get_if<Put>(&request); put != nullptr && !sessions.may_depend_on(from, to, put->key, put->retention.depends_on)) return;
  if (const auto* publish = std::get_if<Publish>(&request)) {
    const auto lease = computations.leases().all().find(publish->token.counter);
    const bool is_known = lease != computations.leases().all().end();  // else it is refused for that
    if (is_known && !sessions.may_depend_on(from, to, lease->second.entry->key, publish->retention.depends_on)) return;
  }

  struct Answer {
    State& state;
    Connection& from;
    ReplyAddress to;
    const std::optional<SessionSecret>& secret;
    void operator()(Hello&&) const { state.context.close(from.id, "HELLO is the first frame of a connection and comes once"); }
    void operator()(Acquire&& r) const { state.computations.acquire(from, to.id, std::move(r)); }
    void operator()(Withdraw&& r) const { state.computations.withdraw(from, r); }
    void operator()(TakeUp&& r) const { state.computations.take_up(from, r); }
    void operator()(Publish&& r) const { state.computations.publish(from, to.id, std::move(r)); }
    void operator()(Fail&& r) const { state.computations.fail(from, to.id, r); }
    void operator()(Abandon&& r) const { state.computations.abandon(from, to.id, r); }
    void operator()(Progress&& r) const { state.computations.progress(from, std::move(r)); }
    void operator()(Put&& r) const { state.computations.put(from, to.id, std::move(r)); }
    void operator()(Invalidate&& r) const { state.computations.invalidate(from, to.id, r); }
    void operator()(Cancel&& r) const { state.computations.cancel(from, to.id, r); }
    void operator()(Subscribe&& r) const { state.signals.subscribe(from, to.id, std::move(r)); }
    void operator()(Unsubscribe&& r) const {
      state.context.send(to, Done{state.signals.unsubscribe(from, r.target) ? 1U : 0U});
    }
    void operator()(GetStatus&&) const { state.context.send(to, state.with_readers_hits(state.context.now).status(state.context.now)); }
    void operator()(GetStats&&) const { state.context.send(to, state.with_readers_hits(state.context.now).statistics(state.context.now)); }
    void operator()(List&& r) const { state.context.send(to, state.with_recent_uses().reports.list(r)); }
    void operator()(Reserve&& r) const { state.blobs.reserve(from, to.id, r); }
    void operator()(Fetch&& r) const { state.blobs.fetch(from, to.id, r); }
    void operator()(Release&& r) const { state.blobs.release(from, r); }
    void operator()(Explain&& r) const { state.context.send(to, state.with_recent_uses().explanations.explain(r.key)); }
    void operator()(NewSession&& r) const {
      ONCED_ASSERT(secret.has_value());  // the host draws one for every such request
      state.sessions.create(from, to.id, r, *secret);
    }
    void operator()(OpenSession&& r) const { state.sessions.open(from, to.id, r); }
    void operator()(RotateSession&& r) const {
      ONCED_ASSERT(secret.has_value());
      state.sessions.rotate(from, to.id, r, *secret);
    }
    void operator()(TouchSession&& r) const { state.sessions.touch(from, to.id, r); }
    void operator()(EndSession&& r) const { state.sessions.end(from, to.id, r); }
    void operator()(ListSessions&& r) const { state.sessions.list(to, r); }
    void operator()(Disk&& r) const { state.computations.disk(from, to.id, r); }
  };
  std::visit(Answer{*this, from, to, secret}, std::move(request));
}

}  // namespace onced::engine
