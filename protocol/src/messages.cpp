#include <onced/protocol/messages.hpp>

namespace onced::protocol {

Request::Request() = default;
Request::Request(const Request&) = default;
Request::Request(Request&&) noexcept = default;
Request& Request::operator=(const Request&) = default;
Request& Request::operator=(Request&&) noexcept = default;
Request::~Request() = default;

Reply::Reply() = default;
Reply::Reply(const Reply&) = default;
Reply::Reply(Reply&&) noexcept = default;
Reply& Reply::operator=(const Reply&) = default;
Reply& Reply::operator=(Reply&&) noexcept = default;
Reply::~Reply() = default;

std::uint16_t type_of(const Request& request) {
  return static_cast<std::uint16_t>(first_request_type + request.index());
}

std::uint16_t type_of(const Reply& reply) { return static_cast<std::uint16_t>(first_reply_type + reply.index()); }

std::string_view name_of(SignalEvent event) {
  switch (event) {
    case SignalEvent::started: return "started";
    case SignalEvent::progress: return "progress";
    case SignalEvent::done: return "done";
    case SignalEvent::failed: return "failed";
    case SignalEvent::cancelled: return "cancelled";
    case SignalEvent::invalidated: return "invalidated";
    case SignalEvent::evicted: return "evicted";
    case SignalEvent::expired: return "expired";
    case SignalEvent::abandoned: return "abandoned";
    case SignalEvent::stale: return "stale";
    case SignalEvent::queued: return "queued";
    case SignalEvent::session_ended: return "session_ended";
    case SignalEvent::loaded: return "loaded";
  }
  return "unknown";
}

std::string_view name_of(KeyState state) {
  switch (state) {
    case KeyState::absent: return "absent";
    case KeyState::computing: return "computing";
    case KeyState::ready: return "ready";
    case KeyState::failed: return "failed";
    case KeyState::queued: return "queued";
  }
  return "unknown";
}

std::string_view name_of(LeaseEnd why) {
  switch (why) {
    case LeaseEnd::cancelled: return "cancelled";
    case LeaseEnd::invalidated: return "invalidated";
    case LeaseEnd::superseded: return "superseded";
    case LeaseEnd::limit_passed: return "limit_passed";
    case LeaseEnd::not_taken_up: return "not_taken_up";
    case LeaseEnd::session_ended: return "session_ended";
  }
  return "unknown";
}

std::string_view name_of(LeaseCause cause) {
  switch (cause) {
    case LeaseCause::absent: return "absent";
    case LeaseCause::forced: return "forced";
    case LeaseCause::abandoned: return "abandoned";
    case LeaseCause::holder_died: return "holder_died";
    case LeaseCause::limit_passed: return "limit_passed";
    case LeaseCause::not_taken_up: return "not_taken_up";
    case LeaseCause::stale: return "stale";
    case LeaseCause::ahead: return "ahead";
    case LeaseCause::queued: return "queued";
  }
  return "unknown";
}

std::string_view name_of(UpstreamState state) {
  switch (state) {
    case UpstreamState::current: return "current";
    case UpstreamState::outdated: return "outdated";
    case UpstreamState::invalidated: return "invalidated";
  }
  return "unknown";
}

std::string_view name_of(StaleCause cause) {
  switch (cause) {
    case StaleCause::fresh: return "fresh";
    case StaleCause::time: return "time";
    case StaleCause::invalidated: return "invalidated";
    case StaleCause::upstream: return "upstream";
  }
  return "unknown";
}

}  // namespace onced::protocol
