#include <onced/subscription.hpp>

#include <poll.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <onced/client.hpp>
#include <onced/protocol/limits.hpp>
#include <onced/protocol/session.hpp>

#include "checks.hpp"
#include "client_state.hpp"
#include "subscription_state.hpp"

namespace onced {

using client_detail::Clock;
using client_detail::Deadline;
using client_detail::deadline_in;
using client_detail::Descriptor;
using client_detail::Process;

namespace {

// The requests of its connection.
constexpr protocol::RequestId subscription_id = 1;
constexpr protocol::RequestId opening_id = 2;  // the session of its scope, if it is in one
// The most that one poll() reads before it returns to its caller's event loop.
constexpr int reads_per_poll_max = 64;
constexpr Milliseconds iterator_patience{1000};

}  // namespace

Subscription::State::State(const ClientOptions& options_in, client_detail::Identity identity_in, protocol::Scope scope_in,
                           std::string session_id_in)
    : options(options_in),
      identity(std::move(identity_in)),
      scope(std::move(scope_in)),
      session_id(std::move(session_id_in)),
      back_off_(options.reconnect_delay_min, options.reconnect_delay_max) {}

Result<void> Subscription::State::open() {
  process_ = &Process::here();
  readiness = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  timer_ = Descriptor(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  epoll_event event{};
  event.events = EPOLLIN;
  if (!readiness.open() || !timer_.open() ||
      epoll_ctl(readiness.number(), EPOLL_CTL_ADD, timer_.number(), &event) != 0) {
    return Error{ErrorCode::limit_reached, std::string("cannot make a descriptor to wait with: ") + std::strerror(errno)};
  }
  return {};
}

void Subscription::State::leave_parent() {
  if (process_ == &Process::here()) return;
  // Closing our copies does not touch what the parent has.
  socket_.reset();
  reader_ = protocol::FrameReader();
  phase_ = Phase::disconnected;
  due_ = {};
  if (auto opened = open(); !opened) refused = opened.error();
}

void Subscription::State::step() {
  leave_parent();
  if (refused) return;
  if (phase_ == Phase::greeting && Clock::now() >= due_) {
    disconnect({ErrorCode::unavailable, "the daemon at " + identity.socket_path + " did not answer in time"});
  }
  if (phase_ == Phase::disconnected) {
    if (Clock::now() < due_) return;
    start_greeting();
  }
  if (phase_ != Phase::disconnected) read();
}

void Subscription::State::start_greeting() {
  // No time to wait: a daemon whose queue of connections is full is tried again later.
  auto socket = client_detail::say_hello(identity, false, Clock::now());
  if (!socket) return lose(socket.error());
  socket_ = std::move(*socket);
  socket_->expect_no_descriptors();
  reader_ = protocol::FrameReader();
  phase_ = Phase::greeting;
  due_ = deadline_in(options.connect_timeout);
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(readiness.number(), EPOLL_CTL_ADD, socket_->descriptor(), &event) != 0) {
    disconnect({ErrorCode::limit_reached, std::string("epoll: ") + std::strerror(errno)});
  }
}

void Subscription::State::disconnect(Error error) {
  // Closing alone would leave it in the epoll set, readable for ever, when a forked child has a copy of it.
  if (socket_) epoll_ctl(readiness.number(), EPOLL_CTL_DEL, socket_->descriptor(), nullptr);
  socket_.reset();
  phase_ = Phase::disconnected;
  due_ = Clock::now() + back_off_.failed();
  last_error = std::move(error);
  if (!std::exchange(warned_, true)) {
    client_detail::warn(options, "a subscription lost its connection: " + last_error.text + "; trying again from time to time");
  }
}

// Tries again when the daemon is away, and not when it would say the same again.
void Subscription::State::lose(Error error) {
  if (client_detail::means_away(error.code)) return disconnect(std::move(error));
  refuse(std::move(error));
}

void Subscription::State::refuse(Error error) {
  warned_ = true;  // the reader is told: next() ends with it
  disconnect(error);
  refused = std::move(error);
}

// One receive, and all frames that it completed.
void Subscription::State::read() {
  auto received = socket_->receive_some(reader_.room());
  if (!received) return disconnect(received.error());
  if (received->nothing_yet) return;
  reader_.received(received->bytes);
  while (phase_ != Phase::disconnected && !refused) {
    auto frame = reader_.next();
    if (!frame) return disconnect(frame.error());
    if (!frame->has_value()) return;
    auto reply = protocol::decode_reply((*frame)->header.type, (*frame)->payload);
    if (!reply) return disconnect(reply.error());
    handle(std::move(*reply));
  }
}

void Subscription::State::handle(protocol::Reply reply) {
  if (phase_ == Phase::greeting) {
    auto welcome = client_detail::check_welcome(std::move(reply));
    if (!welcome) return lose(welcome.error());
    return subscribe();
  }
  if (auto* signal = std::get_if<protocol::Signal>(&reply)) return handle_signal(std::move(*signal));
  if (auto* state = std::get_if<protocol::State>(&reply)) return handle_state(std::move(*state));
  if (const auto* position = std::get_if<protocol::Position>(&reply)) {
    answered();
    position_ = *position;
    return;
  }
  if (std::holds_alternative<protocol::SessionOpened>(reply)) return;
  Error error = client_detail::error_of(reply);
  const bool is_of_the_daemon = std::holds_alternative<protocol::Refused>(reply);  // it would say the same again
  if (error.code == ErrorCode::unavailable || (error.code == ErrorCode::malformed && !is_of_the_daemon)) return disconnect(std::move(error));
  refuse(std::move(error));
}

void Subscription::State::subscribe() {
  phase_ = Phase::subscribed;
  reader_.raise_limit(limits::frame_payload_bytes_max);
  protocol::Subscribe request{scope, 0, 0};
  if (position_) {
    request.resume_epoch = position_->epoch;
    request.resume_sequence = position_->sequence;
  }
  std::string frame;
  // In one piece: the daemon takes them in this order, and refuses both when the session is over.
  if (!session_id.empty()) protocol::encode(opening_id, protocol::Request(protocol::OpenSession{session_id}), frame);
  protocol::encode(subscription_id, protocol::Request(std::move(request)), frame);
  const auto sent = socket_->send_some(frame);
  if (!sent) return disconnect(sent.error());
  if (*sent != frame.size()) return disconnect({ErrorCode::unavailable, "the daemon's socket has no room for a request"});
}

// It was answered: who is refused, or cut off, before that is not to try again at once.
void Subscription::State::answered() {
  back_off_.succeeded();
  warned_ = false;
}

void Subscription::State::handle_signal(protocol::Signal&& signal) {
  if (!position_ || signal.epoch != position_->epoch || signal.previous != position_->sequence) {
    // Not to be expected of a daemon; but a gap is never passed over in silence.
    const std::string at = position_ ? std::to_string(position_->sequence) : "no position";
    position_.reset();
    return disconnect({ErrorCode::malformed, "signal " + std::to_string(signal.sequence) + " follows " +
                                                 std::to_string(signal.previous) + ", this subscription is at " + at});
  }
  answered();
  position_->sequence = signal.sequence;
  Event event;
  event.kind = Event::Kind::signal;
  event.signal = std::move(signal);
  events.push_back(std::move(event));
}

void Subscription::State::handle_state(protocol::State&& state) {
  answered();
  position_ = protocol::Position{state.epoch, state.sequence};
  Event event;
  event.kind = delivered_first_state_ ? Event::Kind::resync : Event::Kind::state;
  // We asked for a fresh start after a gap: for the reader that is a resync.
  if (delivered_first_state_ && state.reason == protocol::StateReason::initial) state.reason = protocol::StateReason::history_gone;
  delivered_first_state_ = true;
  event.state = std::move(state);
  events.push_back(std::move(event));
}

void Subscription::State::run_until(Deadline deadline) {
  for (;;) {
    if (events.empty()) step();
    if (!events.empty() || refused) return arm();
    const Deadline now = Clock::now();
    if (now >= deadline) return arm();
    arm();
    client_detail::wait_for(readiness.number(), POLLIN, deadline);
  }
}

void Subscription::State::arm() {
  itimerspec when{};
  if (!events.empty()) {
    when.it_value.tv_nsec = 1;  // long past: readable at once
  } else if (phase_ != Phase::subscribed && !refused) {
    const auto since_boot = due_.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since_boot);
    when.it_value.tv_sec = static_cast<time_t>(seconds.count());
    when.it_value.tv_nsec = static_cast<long>(std::chrono::nanoseconds(since_boot - seconds).count()) + (since_boot.count() == 0);
  }
  timerfd_settime(timer_.number(), TFD_TIMER_ABSTIME, &when, nullptr);  // resets its readiness as well
}

// ---- the public side ------------------------------------------------------------------------------------------------

Subscription::Subscription(std::unique_ptr<State> state) : state_(std::move(state)) {}
Subscription::Subscription(Subscription&&) noexcept = default;
Subscription& Subscription::operator=(Subscription&&) noexcept = default;
Subscription::~Subscription() = default;

Result<std::optional<Event>> Subscription::next(Milliseconds timeout) {
  state_->run_until(deadline_in(timeout));
  if (!state_->events.empty()) {
    std::optional<Event> event(std::move(state_->events.front()));
    state_->events.pop_front();
    state_->arm();
    return event;
  }
  if (state_->refused) return *state_->refused;
  if (state_->options.strict && !state_->connected()) return state_->last_error;
  return std::optional<Event>();
}

int Subscription::descriptor() const {
  state_->leave_parent();
  return state_->readiness.number();
}

Result<std::size_t> Subscription::poll(const std::function<void(const Event&)>& callback) {
  std::size_t delivered = 0;
  struct Armed {  // also when the callback throws: what it has not seen yet is to be seen
    State& state;
    ~Armed() { state.arm(); }
  } const armed{*state_};
  for (int reads = 0; reads < reads_per_poll_max; ++reads) {
    if (state_->events.empty()) state_->step();
    if (state_->events.empty()) break;
    while (!state_->events.empty()) {
      const Event event = std::move(state_->events.front());
      state_->events.pop_front();
      ++delivered;
      callback(event);
    }
  }
  if (delivered == 0 && state_->refused) return *state_->refused;
  return delivered;
}

Subscription::Iterator Subscription::begin() {
  Iterator iterator;
  iterator.subscription_ = this;
  ++iterator;
  return iterator;
}

Subscription::Iterator& Subscription::Iterator::operator++() {
  event_.reset();
  for (;;) {
    auto event = subscription_->next(iterator_patience);
    if (!event) return *this;  // the end
    if (event->has_value()) {
      event_ = std::move(*event);
      return *this;
    }
  }
}

Result<Subscription> open_subscription(std::unique_ptr<Subscription::State> state) {
  if (auto opened = state->open(); !opened) return opened.error();
  const Deadline until = deadline_in(state->options.request_timeout);
  state->step();
  while (state->events.empty() && !state->refused && Clock::now() < until) {
    // Away: goes on by itself, unless that is an error.
    if (!state->connected() && !state->attempting()) break;
    state->arm();
    client_detail::wait_for(state->readiness.number(), POLLIN, until);
    state->step();
  }
  state->arm();
  if (state->refused) return *state->refused;
  if (state->events.empty() && state->options.strict) return state->last_error;
  return Subscription(std::move(state));
}

Result<Subscription> Client::subscribe(const Key& key) {
  if (auto right = client_detail::check_key_given(key.bytes()); !right) return right.error();
  if (protocol::names_session(key.bytes()))
    return Error{ErrorCode::not_permitted, "this key names a session: subscribe with the Session that it belongs to (Client::session)"};
  return open_subscription(std::make_unique<Subscription::State>(
      state_->options, state_->identity, protocol::Scope{protocol::ScopeKind::key, std::string(key.bytes())}));
}
Result<Subscription> Client::subscribe_function(std::string_view function) {
  if (auto right = client_detail::check_function(function); !right) return right.error();
  return open_subscription(std::make_unique<Subscription::State>(
      state_->options, state_->identity, protocol::Scope{protocol::ScopeKind::function, std::string(function)}));
}
Result<Subscription> Client::subscribe_all() {
  return open_subscription(std::make_unique<Subscription::State>(
      state_->options, state_->identity, protocol::Scope{protocol::ScopeKind::everything, {}}));
}

}  // namespace onced
