// What happened in words: the trace of a replay.
#include <string>

#include <onced/protocol/key.hpp>
#include <onced/protocol/session.hpp>

#include "world.hpp"

namespace onced::simulation {
namespace {

std::string number(std::uint64_t value) { return std::to_string(value); }
std::string where(engine::ConnectionId connection, protocol::RequestId id) {
  return "connection " + number(static_cast<std::uint64_t>(connection)) + " #" + number(id) + ": ";
}
// Keys of different sessions look the same.
std::string key_words(const std::string& key) {
  const auto session = protocol::session_in(key);
  return name_of_key(key) + (session ? " in session " + number(*session) : std::string());
}

std::string in_words(const protocol::Scope& scope) {
  switch (scope.kind) {
    case protocol::ScopeKind::key: return key_words(scope.subject);
    case protocol::ScopeKind::function: return "all of " + scope.subject;
    case protocol::ScopeKind::tag: return "all with tag " + scope.subject;
    case protocol::ScopeKind::session: return "all in session " + scope.subject;
    case protocol::ScopeKind::everything: break;
  }
  return "everything";
}

std::string in_words(const protocol::Retention& retention) {
  const auto words = [](const char* name, std::uint64_t value) {
    return name + (value == protocol::as_configured ? std::string("configured") : number(value));
  };
  std::string depends;
  for (const protocol::Dependency& one : retention.depends_on) depends += " on " + key_words(one.key) + "#" + number(one.version);
  return depends + words(" ttl_ms ", retention.ttl_ms) + words(" grace_ms ", retention.grace_ms) + words(" ahead ", retention.refresh_ahead_permille);
}

struct RequestWords {
  std::string operator()(const protocol::Hello&) const { return "Hello"; }
  std::string operator()(const protocol::Acquire& r) const {
    std::string text = "Acquire " + key_words(r.key) + " wait_ms " + number(r.wait_ms) + " limit_ms " + number(r.lease_limit_ms);
    if (!r.may_compute) text += ", only to wait";
    if (r.force) text += ", forced";
    if (r.accept_stale) text += ", accepts stale";
    if (r.refresh) text += ", offers to refresh";
    if (r.background) text += ", in the background";
    for (const protocol::Token& token : r.held) text += ", holding " + number(token.counter);
    return text;
  }
  std::string operator()(const protocol::Withdraw& r) const { return "Withdraw #" + number(r.target); }
  std::string operator()(const protocol::TakeUp& r) const { return "TakeUp " + number(r.token.counter); }
  std::string operator()(const protocol::Publish& r) const { return "Publish " + number(r.token.counter) + in_words(r.retention); }
  std::string operator()(const protocol::Fail& r) const { return "Fail " + number(r.token.counter) + " ttl_ms " + number(r.failure_ttl_ms); }
  std::string operator()(const protocol::Abandon& r) const { return "Abandon " + number(r.token.counter); }
  std::string operator()(const protocol::Progress& r) const { return "Progress " + number(r.token.counter); }
  std::string operator()(const protocol::Put& r) const { return "Put " + key_words(r.key) + in_words(r.retention); }
  std::string operator()(const protocol::Invalidate& r) const { return std::string(r.soft ? "soft " : "") + "Invalidate " + in_words(r.scope); }
  std::string operator()(const protocol::Cancel& r) const { return "Cancel " + in_words(r.scope); }
  std::string operator()(const protocol::Subscribe& r) const {
    return "Subscribe " + in_words(r.scope) + (r.resume_epoch != 0 ? " after " + number(r.resume_sequence) : std::string());
  }
  std::string operator()(const protocol::Unsubscribe& r) const { return "Unsubscribe #" + number(r.target); }
  std::string operator()(const protocol::GetStatus&) const { return "GetStatus"; }
  std::string operator()(const protocol::GetStats&) const { return "GetStats"; }
  std::string operator()(const protocol::List&) const { return "List"; }
  std::string operator()(const protocol::Explain& r) const { return "Explain " + key_words(r.key); }
  std::string operator()(const protocol::Reserve& r) const { return "Reserve " + number(r.bytes) + " bytes, receipt " + number(r.receipt); }
  std::string operator()(const protocol::Fetch& r) const { return "Fetch " + number(r.blob) + ", receipt " + number(r.receipt); }
  std::string operator()(const protocol::Release& r) const {
    std::string text = "Release";
    for (const std::uint64_t blob : r.blobs) text += " " + number(blob);
    return text;
  }
  std::string operator()(const protocol::NewSession&) const { return "NewSession"; }
  std::string operator()(const protocol::OpenSession& r) const { return "OpenSession " + r.id; }
  std::string operator()(const protocol::RotateSession& r) const { return "RotateSession " + r.id; }
  std::string operator()(const protocol::TouchSession& r) const { return "TouchSession " + number(r.number); }
  std::string operator()(const protocol::EndSession& r) const { return "EndSession " + r.id; }
  std::string operator()(const protocol::ListSessions&) const { return "ListSessions"; }
  std::string operator()(const protocol::Disk& r) const { return r.action == protocol::DiskAction::clear ? "Disk clear" : "Disk"; }
};

struct ReplyWords {
  std::string operator()(const protocol::Welcome&) const { return "Welcome"; }
  std::string operator()(const protocol::Value& r) const {
    return "Value version " + number(r.version) + (r.waited ? ", waited" : "") + (r.stale ? ", stale" : "") + (r.record == 0 ? ", inline" : ", pin " + number(r.pin));
  }
  std::string operator()(const protocol::Lease& r) const {
    return "Lease " + number(r.token.counter) + " (" + std::string(name_of(r.cause)) + ")" + (r.take_up ? ", to be taken up" : "");
  }
  std::string operator()(const protocol::Failure& r) const { return "Failure: " + r.text; }
  std::string operator()(const protocol::Cancelled& r) const { return "Cancelled: " + r.text; }
  std::string operator()(const protocol::Refused& r) const { return "Refused " + std::string(name_of(r.code)) + ": " + r.text; }
  std::string operator()(const protocol::Published& r) const { return "Published version " + number(r.version) + (r.stored ? "" : ", not stored"); }
  std::string operator()(const protocol::Done& r) const { return "Done " + number(r.count); }
  std::string operator()(const protocol::LeaseLost& r) const { return "LeaseLost " + number(r.token.counter) + " (" + std::string(name_of(r.why)) + ")"; }
  std::string operator()(const protocol::Signal& r) const {
    const bool of_session = r.event == protocol::SignalEvent::session_ended;
    return "Signal " + number(r.sequence) + " after " + number(r.previous) + ": " + std::string(name_of(r.event)) + " " +
           (of_session ? "session " + number(r.version) + ", " + r.text : key_words(r.key) + " version " + number(r.version)) +
           (r.queue_position != 0 ? " at place " + number(r.queue_position) : std::string());
  }
  std::string operator()(const protocol::Position& r) const { return "Position " + number(r.sequence); }
  std::string operator()(const protocol::State& r) const {
    return "State at " + number(r.sequence) + " reason " + number(static_cast<std::uint64_t>(r.reason)) + ", entries " + number(r.entries.size());
  }
  std::string operator()(const protocol::StatusReport&) const { return "StatusReport"; }
  std::string operator()(const protocol::Statistics&) const { return "Statistics"; }
  std::string operator()(const protocol::Listing& r) const { return "Listing of " + number(r.rows.size()); }
  std::string operator()(const protocol::Explanation&) const { return "Explanation"; }
  std::string operator()(const protocol::Blob& r) const {
    return "Blob " + number(r.blob) + " of " + number(r.bytes) + " bytes, receipt " + number(r.receipt);
  }
  std::string operator()(const protocol::SessionOpened& r) const {
    return "SessionOpened " + number(r.number) + " generation " + number(r.generation) + (r.id.empty() ? "" : " id " + r.id);
  }
  std::string operator()(const protocol::DiskReport& r) const { return "DiskReport of " + number(r.fields.size()); }
  std::string operator()(const protocol::SessionListing& r) const { return "SessionListing of " + number(r.rows.size()); }
};

struct EventWords {
  std::string operator()(const engine::Connected& e) const { return where(e.connection, 0) + "connected"; }
  std::string operator()(const engine::Disconnected& e) const { return where(e.connection, 0) + "disconnected"; }
  std::string operator()(const engine::ProcessDied& e) const { return where(e.connection, 0) + "process died"; }
  std::string operator()(const engine::Requested& e) const { return where(e.connection, e.id) + std::visit(RequestWords{}, e.request); }
  std::string operator()(const engine::SignalsSent& e) const { return where(e.connection, e.subscription) + "sent " + number(e.count); }
  std::string operator()(const engine::Ticked&) const { return "tick"; }
  std::string operator()(const engine::Draining&) const { return "draining"; }
  std::string operator()(const engine::DiskWritten& e) const {
    return "disk: operation " + number(static_cast<std::uint64_t>(e.ticket)) + (e.outcome == engine::DiskOutcome::done ? " done" : e.outcome == engine::DiskOutcome::failed ? " failed" : " refused");
  }
  std::string operator()(const engine::DiskLoaded& e) const { return "disk: load " + number(static_cast<std::uint64_t>(e.ticket)) + " ended"; }
  std::string operator()(const engine::SessionsFound& e) const { return "disk: " + number(e.sessions.size()) + " sessions of before"; }
};

}  // namespace

std::string World::describe(const engine::Event& event) { return "> " + std::visit(EventWords{}, event); }

std::string World::describe(const engine::Effect& effect) {
  if (const auto* send = std::get_if<engine::Send>(&effect))
    return "      < " + where(send->connection, send->id) + std::visit(ReplyWords{}, send->reply);
  if (const auto* close = std::get_if<engine::Close>(&effect)) return "      < " + where(close->connection, 0) + "close: " + close->text;
  return "      < note: " + std::get<engine::Note>(effect).text;
}

}  // namespace onced::simulation
