#include "process.hpp"

#include "world.hpp"

namespace onced::simulation {

using namespace std::chrono_literals;
using protocol::RequestId;

Process::Process(World& world, engine::ConnectionId connection, bool mapped)
    : world_(world), connection_(connection), mapped_(mapped), threads_(world.schedule().profile.threads) {}

void Process::start() {
  for (std::size_t thread = 0; thread < threads_.size(); ++thread) act_soon(thread);
}

RequestId Process::send(const protocol::Request& request) {
  const RequestId id = ++last_id_;
  world_.send(connection_, id, request);
  return id;
}

const std::string& Process::any_key() {
  return all_keys()[world_.random().between(0, world_.schedule().profile.keys - 1)];
}

protocol::Scope Process::any_scope() {
  const std::uint64_t kind = world_.random().between(0, 9);
  if (kind < 6) return {protocol::ScopeKind::key, any_key()};
  if (kind < 9) return {protocol::ScopeKind::function, world_.random().percent(95) ? all_functions()[kind - 6] : "unknown"};
  return {protocol::ScopeKind::everything, {}};
}

// Bytes that say whose they are and where they come from; in a small arena only few fit.
std::vector<protocol::Part> Process::content(const std::string& key, const std::string& origin) {
  std::string bytes = name_of_key(key) + " " + origin + " ";
  const std::size_t size = world_.schedule().profile.small_arena ? world_.random().between(20'000, 60'000) : world_.random().between(0, 150);
  bytes.resize(bytes.size() + size, static_cast<char>('a' + world_.random().between(0, 25)));
  return {protocol::Part{"", "text/plain", std::move(bytes)}};
}

void Process::act_soon(std::size_t thread, std::uint64_t at_most_us) {
  world_.after(std::chrono::microseconds(world_.random().between(10, at_most_us)), [this, thread] { act(thread); });
}

void Process::act(std::size_t number) {
  if (dead_ || !world_.may_act()) return;  // at the end of a schedule everybody stops where they are
  Thread& thread = threads_[number];
  Random& random = world_.random();
  const Profile& profile = world_.schedule().profile;
  world_.acted();
  if (random.percent(profile.kill_percent)) return world_.kill(connection_);
  if (random.percent(profile.stall_percent)) {
    world_.stop_reading(connection_, std::chrono::milliseconds(random.between(1, 4000)));
    return act_soon(number, 3'000'000);
  }
  if (random.percent(profile.disturb_percent)) disturb();
  if (random.percent(profile.subscribe_percent)) subscribe_or_not();
  if (thread.waits_in) {
    if (random.percent(10)) {  // it has lost its patience
      send(protocol::Withdraw{*thread.waits_in});
      withdrawn_[*thread.waits_in] = thread.asked;
      asked_by_.erase(*thread.waits_in);
      thread.waits_in.reset();
    }
  } else if (!thread.stack.empty()) {
    go_on_computing(thread);
  } else {
    begin_something(thread);
  }
  act_soon(number);
}

void Process::begin_something(Thread& thread) {
  Random& random = world_.random();
  if (!old_tokens_.empty() && random.percent(8)) {  // a lease that ended long ago, or never was
    protocol::Token token = random.pick(old_tokens_);
    if (random.percent(20)) token.epoch += 2;
    if (random.percent(20)) token.counter += 1000;
    switch (random.between(0, 3)) {
      case 0: send(protocol::Publish{token, content(any_key(), "late"), 0}); return;
      case 1: send(protocol::Fail{token, "too late", 1000}); return;
      case 2: send(protocol::Abandon{token}); return;
      default: send(protocol::Progress{token, 0.5, "late"}); return;
    }
  }
  if (mapped_ && random.percent(20)) {
    (void)world_.look_up(connection_, any_key());
    return;
  }
  if (random.percent(3)) {
    send(protocol::GetStatus{});
    send(protocol::List{random.percent(50) ? "f0" : "", ""});
    send(protocol::Explain{any_key()});
    return;
  }
  ask(thread, any_key(), !random.percent(15));
}

void Process::ask(Thread& thread, const std::string& key, bool may_compute) {
  Random& random = world_.random();
  protocol::Acquire acquire;
  acquire.key = key;
  acquire.may_compute = may_compute;
  acquire.force = random.percent(8);
  acquire.wait_ms = random.percent(10) ? 0 : random.between(1, random.percent(50) ? 20'000 : 300);
  acquire.lease_limit_ms = random.percent(15) ? random.between(20, 800) : random.between(2000, 30'000);
  for (const Computing& computing : thread.stack) acquire.held.push_back(computing.token);
  thread.asked = key;
  thread.waits_in = send(acquire);
  asked_by_[*thread.waits_in] = static_cast<std::size_t>(&thread - threads_.data());
  if (random.percent(1)) world_.send(connection_, *thread.waits_in, acquire);  // the same id twice
}

void Process::go_on_computing(Thread& thread) {
  Random& random = world_.random();
  const Profile& profile = world_.schedule().profile;
  const Computing computing = thread.stack.back();
  const std::uint64_t chance = random.between(0, 99);
  if (chance < 12) {
    send(protocol::Progress{computing.token, static_cast<double>(chance) / 12, "working"});
    return;
  }
  if (chance < 40 && profile.nested && thread.stack.size() < 3) return ask(thread, any_key(), !random.percent(10));
  if (chance < 44) return;  // computing
  thread.stack.pop_back();
  old_tokens_.push_back(computing.token);
  if (chance < 85) {
    const std::uint64_t ttl_ms = random.percent(40) ? random.between(1, 1500) : 0;
    send(protocol::Publish{computing.token, content(computing.key, std::to_string(computing.token.counter)), ttl_ms});
  } else if (chance < 92) {
    send(protocol::Fail{computing.token, "failure of " + std::to_string(computing.token.counter), random.percent(60) ? random.between(1, 2000) : 0});
  } else if (chance < 98) {
    send(protocol::Abandon{computing.token});
  }  // else it has forgotten its lease: the limit ends it
}

void Process::disturb() {
  Random& random = world_.random();
  switch (random.between(0, 3)) {
    case 0: send(protocol::Cancel{any_scope()}); break;
    case 1: {
      const std::string& key = any_key();
      send(protocol::Put{key, content(key, "put " + std::to_string(last_id_)), random.percent(30) ? random.between(1, 1000) : 0});
      break;
    }
    default: send(protocol::Invalidate{any_scope()}); break;
  }
}

void Process::subscribe_or_not() {
  Random& random = world_.random();
  if (!subscriptions_.empty() && (random.percent(40) || subscriptions_.size() == 3)) {
    const auto ending = subscriptions_.begin();
    send(protocol::Unsubscribe{ending->first});
    ended_subscription_ = ending->second;
    subscriptions_.erase(ending);
    return;
  }
  if (subscriptions_.size() == 3) return;
  protocol::Subscribe request;
  request.scope = any_scope();
  if (ended_subscription_ && random.percent(60)) {  // goes on where it was, or claims to come from elsewhere
    request.scope = ended_subscription_->scope;
    request.resume_epoch = ended_subscription_->epoch + (random.percent(10) ? 2 : 0);
    request.resume_sequence = ended_subscription_->position + (random.percent(5) ? 1000 : 0);
    ended_subscription_.reset();
  }
  const RequestId id = send(request);
  subscriptions_[id] = Subscription{request.scope, request.resume_epoch, request.resume_sequence};
}

void Process::receive(RequestId id, const protocol::Reply& reply) {
  if (dead_) return;
  const auto position = [&](std::uint64_t epoch, std::uint64_t sequence) {
    if (const auto found = subscriptions_.find(id); found != subscriptions_.end()) {
      found->second.epoch = epoch;
      found->second.position = sequence;
    }
  };
  if (const auto* signal = std::get_if<protocol::Signal>(&reply)) return position(signal->epoch, signal->sequence);
  if (const auto* state = std::get_if<protocol::State>(&reply)) return position(state->epoch, state->sequence);
  if (const auto* at = std::get_if<protocol::Position>(&reply)) return position(at->epoch, at->sequence);
  if (const auto* lost = std::get_if<protocol::LeaseLost>(&reply)) {
    // Mostly it goes on and learns from the answer to its publish; sometimes it believes what it is told.
    if (world_.random().percent(70)) return;
    for (Thread& thread : threads_)
      std::erase_if(thread.stack, [&](const Computing& computing) { return computing.token == lost->token; });
    return;
  }
  if (const auto withdrawn = withdrawn_.find(id); withdrawn != withdrawn_.end()) {
    if (const auto* lease = std::get_if<protocol::Lease>(&reply)) send(protocol::Abandon{lease->token});
    if (const auto* value = std::get_if<protocol::Value>(&reply)) receive_value(withdrawn->second, *value);
    withdrawn_.erase(withdrawn);
    return;
  }
  const auto asked = asked_by_.find(id);
  if (asked == asked_by_.end()) return;  // a request that no thread waits for
  Thread& thread = threads_[asked->second];
  asked_by_.erase(asked);
  thread.waits_in.reset();
  if (const auto* value = std::get_if<protocol::Value>(&reply)) receive_value(thread.asked, *value);
  if (const auto* lease = std::get_if<protocol::Lease>(&reply)) {
    thread.stack.push_back({thread.asked, lease->token});
    if (lease->take_up && !world_.random().percent(15)) send(protocol::TakeUp{lease->token});
  }
}

void Process::receive_value(const std::string& key, const protocol::Value& value) {
  const std::string* expected = world_.model().content_of(key, value.version);
  if (expected == nullptr) throw Violation("a version that was never published");
  if (value.record == 0) return;
  if (!mapped_) throw Violation("a pin for a connection without a page");
  if (world_.bytes_at(value.record, key) != *expected) throw Violation("the pinned record holds other bytes (L3)");
  // It reads for a while; until then the bytes must stay, whatever happens to the key.
  const std::uint64_t longest = world_.schedule().profile.small_arena ? 3'000'000 : 100'000;
  world_.after(std::chrono::microseconds(world_.random().between(1, longest)), [this, key, value, bytes = *expected] {
    if (dead_) return;
    if (world_.bytes_at(value.record, key) != bytes) throw Violation("a pinned record changed");
    world_.release_pin(connection_, value.pin);
  });
}

}  // namespace onced::simulation
