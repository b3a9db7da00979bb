#include "process.hpp"

#include <onced/protocol/segment_reader.hpp>

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

bool Process::in_session() { return !grants_.empty() && world_.random().percent(world_.schedule().profile.session_percent); }

std::string Process::any_key() {
  if (in_session()) return key_in_session(world_.random().pick(grants_).number, world_.random().between(0, keys_per_session - 1));
  return all_keys()[world_.random().between(0, world_.schedule().profile.keys - 1)];
}

protocol::Scope Process::any_scope() {
  if (in_session() && world_.random().percent(40)) return {protocol::ScopeKind::session, std::to_string(world_.random().pick(grants_).number)};
  const std::uint64_t kind = world_.random().between(0, 9);
  if (kind < 6) return {protocol::ScopeKind::key, any_key()};
  if (kind < 9) return {protocol::ScopeKind::function, world_.random().percent(95) ? all_functions()[kind - 6] : "unknown"};
  return {protocol::ScopeKind::everything, {}};
}

protocol::Scope Process::any_scope_or_tag() {
  if (!world_.random().percent(world_.schedule().profile.tag_percent)) return any_scope();
  return {protocol::ScopeKind::tag, world_.random().pick(all_tags())};
}

// What it finds of some key, or another thing that it may say it was.
void Process::read_something(std::vector<protocol::Dependency>& reads) {
  Random& random = world_.random();
  while (random.percent(world_.schedule().profile.dependency_percent) && reads.size() < 8) {
    protocol::Dependency read{any_key(), 0};
    if (world_.schedule().profile.session_percent > 0 && random.percent(2)) read.key = key_in_session(random.between(1, 200), 0);  // of somebody else
    const std::uint64_t chance = random.between(0, 99);
    if (chance < 90) read.version = world_.model().visible_version(read.key);
    else if (chance < 95) read.version = random.between(0, 60);
    reads.push_back(std::move(read));
  }
}

protocol::Retention Process::any_retention(std::vector<protocol::Dependency> reads) {
  Random& random = world_.random();
  protocol::Retention retention;
  if (!random.percent(20)) retention.ttl_ms = random.percent(50) ? random.between(1, 1500) : 0;
  if (!random.percent(20)) retention.grace_ms = random.percent(60) ? random.between(1, 2000) : 0;
  if (!random.percent(20)) retention.refresh_ahead_permille = random.percent(50) ? random.between(1, 2000) : 0;
  while (random.percent(world_.schedule().profile.tag_percent)) retention.tags.push_back(random.pick(all_tags()));
  if (retention.tags.size() > limits::tags_max) retention.tags.resize(limits::tags_max);
  retention.retire_older = random.percent(world_.schedule().profile.retire_older_percent);
  retention.depends_on = std::move(reads);
  if (world_.schedule().profile.disk) retention.durable = random.percent(world_.schedule().profile.durable_percent);
  return retention;
}

// Bytes that say whose they are and where they come from; in a small arena only few fit.
std::vector<protocol::Part> Process::content(const std::string& key, const std::string& origin) {
  std::string bytes = name_of_key(key) + " " + origin + " ";
  const Profile& profile = world_.schedule().profile;
  const std::size_t size = profile.small_arena ? world_.random().between(profile.disk ? 45'000 : 20'000, 60'000) : world_.random().between(0, 150);
  bytes.resize(bytes.size() + size, static_cast<char>('a' + world_.random().between(0, 25)));
  std::vector<protocol::Part> parts{protocol::Part{"", "text/plain", std::move(bytes)}};
  if (!reserved_.empty() && world_.random().percent(70)) add_blobs(parts);
  return parts;
}

// Named parts in what it has reserved, mostly as it should be.
void Process::add_blobs(std::vector<protocol::Part>& parts) {
  Random& random = world_.random();
  if (random.percent(30)) parts.clear();
  else if (random.percent(50)) parts.front().name = "inline";
  for (std::uint64_t count = random.between(1, 2); count > 0 && !reserved_.empty(); --count) {
    const protocol::Blob blob = reserved_.back();
    reserved_.pop_back();
    old_blobs_.push_back(blob.blob);
    if (!random.percent(6)) world_.seal(blob.blob);
    const std::string name = parts.empty() && random.percent(50) ? "" : "blob " + std::to_string(parts.size());
    parts.push_back({name, "text/plain", {}, blob.blob, 0, random.between(0, blob.bytes)});
    if (blob.bytes > 64 && random.percent(30))
      parts.push_back({"shared " + std::to_string(parts.size()), {}, {}, blob.blob, 64, random.between(0, blob.bytes - 64)});
  }
  protocol::Part& last = parts.back();
  switch (random.between(0, 60)) {  // lies
    case 0: last.offset += 64 * 1000; break;
    case 1: last.length += 40'000; break;
    case 2: last.blob = random.pick(old_blobs_); break;
    case 3: last.blob += random.between(1, 2000); break;  // perhaps another's
    case 4: parts.push_back(last); break;
    default: break;
  }
}

void Process::reserve_or_release() {
  Random& random = world_.random();
  if (!reserved_.empty() && random.percent(15)) {
    const std::uint64_t nothing_of_its_own = old_blobs_.empty() ? 7 : random.pick(old_blobs_);
    send(protocol::Release{{reserved_.back().blob, nothing_of_its_own}});
    reserved_.pop_back();
    return;
  }
  if (blob_request_ && !random.percent(1)) return;  // an impatient one breaks the protocol
  std::uint64_t bytes = random.between(1, random.percent(50) ? 5'000 : 40'000);
  if (random.percent(3)) bytes = random.percent(50) ? 0 : std::uint64_t{5} << 30;
  reserving_ = true;
  protocol::Reserve request{bytes, random.percent(1) ? receipt_ + 1 : receipt_};
  // Not drawn, so that schedules are what they were.
  request.ready = last_id_ % 4 == 0;
  if (const auto& stack = threads_.front().stack; last_id_ % 3 == 0 && !stack.empty()) request.key = stack.back().key;
  else if (last_id_ % 3 == 1) request.key = all_keys()[last_id_ % world_.schedule().profile.keys];
  blob_request_ = send(request);
}

void Process::receive_blob(const protocol::Reply& reply) {
  blob_request_.reset();
  const auto* blob = std::get_if<protocol::Blob>(&reply);
  if (blob == nullptr) return;
  receipt_ = blob->receipt;
  if (reserving_) reserved_.push_back(*blob);
}

// Of a value that came inline: looks at its blobs, and gives them back, unless it forgets to.
void Process::give_back(const protocol::Value& value) {
  std::vector<std::uint64_t> blobs;
  for (const std::uint64_t blob : blobs_in(value.parts)) blobs.push_back(blob);
  world_.blobs_seen().insert(world_.blobs_seen().end(), blobs.begin(), blobs.end());
  if (blobs.empty() || world_.random().percent(10)) return;
  world_.after(std::chrono::microseconds(world_.random().between(1, 500'000)), [this, blobs] {
    if (dead_) return;
    if (!blob_request_ && world_.random().percent(50)) {
      reserving_ = false;
      blob_request_ = send(protocol::Fetch{blobs.front(), receipt_});
    }
    send(protocol::Release{blobs});
  });
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
  if (profile.disk && random.percent(profile.restart_percent)) return world_.restart();
  if (random.percent(profile.kill_percent)) return world_.kill(connection_);
  if (random.percent(profile.stall_percent)) {
    world_.stop_reading(connection_, std::chrono::milliseconds(random.between(1, 4000)));
    return act_soon(number, 3'000'000);
  }
  if (random.percent(profile.disturb_percent)) disturb();
  if (random.percent(profile.keeps_sessions && grants_.empty() ? 30 : profile.session_request_percent)) use_sessions();
  if (random.percent(profile.subscribe_percent)) subscribe_or_not();
  if (random.percent(profile.blob_percent)) reserve_or_release();
  if (profile.disk && !world_.blobs_seen().empty() && !blob_request_ && random.percent(5)) {  // of somebody else, mostly
    reserving_ = false;
    blob_request_ = send(protocol::Fetch{world_.blobs_seen()[world_.blobs_seen().size() - random.between(1, std::min<std::size_t>(3, world_.blobs_seen().size()))], receipt_});
  }
  if (random.percent(profile.relimit_percent)) world_.relimit();
  if (profile.relimit_bytes_percent > 0 && random.percent(profile.relimit_bytes_percent)) world_.relimit_bytes();
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
      case 0: send(protocol::Publish{token, content(any_key(), "late")}); return;
      case 1: send(protocol::Fail{token, "too late", 1000}); return;
      case 2: send(protocol::Abandon{token}); return;
      default: send(protocol::Progress{token, 0.5, "late"}); return;
    }
  }
  if (mapped_ && random.percent(20)) {
    if (in_session()) {
      const Grant grant = random.pick(grants_);  // perhaps of long ago
      (void)world_.look_up(connection_, key_in_session(grant.number, random.between(0, keys_per_session - 1)), protocol::SessionGrant{grant.number, grant.generation});
      return;
    }
    (void)world_.look_up(connection_, random.pick(all_keys()));
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
  acquire.accept_stale = random.percent(world_.schedule().profile.accept_stale_percent);
  acquire.refresh = random.percent(50);
  acquire.background = random.percent(world_.schedule().profile.background_percent);
  acquire.wait_ms = random.percent(10) ? 0 : random.between(1, random.percent(50) ? 20'000 : 300);
  if (world_.schedule().profile.disk && acquire.wait_ms == 0 && random.percent(50)) acquire.load_ms = random.between(0, 500);
  acquire.lease_limit_ms = random.percent(15) ? random.between(20, 800) : random.between(2000, 30'000);
  for (const Computing& computing : thread.stack) acquire.held.push_back(computing.token);
  if (const std::uint64_t lies = world_.schedule().profile.foreign_held_percent; lies > 0 && !world_.tokens().empty() && random.percent(lies))
    acquire.held.push_back(random.pick(world_.tokens()));  // another's, mostly
  thread.asked = key;
  thread.waits_in = send(acquire);
  asked_by_[*thread.waits_in] = static_cast<std::size_t>(&thread - threads_.data());
  if (random.percent(1)) world_.send(connection_, *thread.waits_in, acquire);  // the same id twice
  if (world_.schedule().profile.disk && random.percent(world_.schedule().profile.disturb_percent)) disturb();  // while it is loaded, perhaps
}

void Process::go_on_computing(Thread& thread) {
  Random& random = world_.random();
  const Profile& profile = world_.schedule().profile;
  read_something(thread.stack.back().reads);
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
    send(protocol::Publish{computing.token, content(computing.key, std::to_string(computing.token.counter)), any_retention(computing.reads)});
  } else if (chance < 92) {
    send(protocol::Fail{computing.token, "failure of " + std::to_string(computing.token.counter),
                        random.percent(20) ? protocol::as_configured : random.percent(60) ? random.between(1, 2000) : 0});
  } else if (chance < 98) {
    send(protocol::Abandon{computing.token});
  }  // else it has forgotten its lease: the limit ends it
}

// Ids go from hand to hand, dead ones too; now and then somebody invents one, or a number.
void Process::use_sessions() {
  Random& random = world_.random();
  const std::uint64_t kind = random.between(0, 99);
  const auto id = [&] {
    const std::vector<std::string>& ids = world_.session_ids();
    if (world_.schedule().profile.keeps_sessions && random.percent(50)) return ids[ids.size() - random.between(1, std::min<std::size_t>(4, ids.size()))];
    return random.percent(4) ? std::string(43, 'A') : random.pick(world_.session_ids());
  };
  if (kind < 25 || world_.session_ids().empty()) {
    protocol::NewSession request;
    if (random.percent(20)) request.idle_ttl_ms = random.between(1, 2000);
    if (random.percent(20)) request.absolute_ttl_ms = random.between(1, 4000);
    session_requests_.insert(send(request));
  } else if (kind < 65) {
    session_requests_.insert(send(protocol::OpenSession{id()}));
  } else if (kind < 78) {
    session_requests_.insert(send(protocol::RotateSession{id()}));
  } else if (kind < 88) {
    send(protocol::EndSession{id()});
  } else if (kind < 95 && !grants_.empty()) {
    send(protocol::TouchSession{random.pick(grants_).number});
  } else {
    send(protocol::Explain{key_in_session(random.between(1, 200), 0)});
    send(protocol::ListSessions{});
  }
}

void Process::disturb() {
  Random& random = world_.random();
  if (world_.schedule().profile.disk && random.percent(8)) {
    send(protocol::Disk{random.percent(50) ? protocol::DiskAction::clear : protocol::DiskAction::look});
    return;
  }
  switch (random.between(0, 3)) {
    case 0: send(protocol::Cancel{any_scope()}); break;
    case 1: {
      const std::string key = any_key();
      std::vector<protocol::Dependency> reads;
      read_something(reads);
      send(protocol::Put{key, content(key, "put " + std::to_string(last_id_)), any_retention(std::move(reads))});
      break;
    }
    default: send(protocol::Invalidate{any_scope_or_tag(), random.percent(40)}); break;
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
  if (session_requests_.erase(id) != 0) {
    if (const auto* opened = std::get_if<protocol::SessionOpened>(&reply)) {
      grants_.push_back({opened->number, opened->generation});
      if (grants_.size() > 8) grants_.erase(grants_.begin());
      if (!opened->id.empty()) world_.session_ids().push_back(opened->id);
    }
    return;
  }
  if (std::holds_alternative<protocol::Refused>(reply) && subscriptions_.erase(id) != 0) return;
  if (id == blob_request_) return receive_blob(reply);
  if (const auto withdrawn = withdrawn_.find(id); withdrawn != withdrawn_.end()) {
    if (const auto* lease = std::get_if<protocol::Lease>(&reply)) send(protocol::Abandon{lease->token});
    if (const auto* value = std::get_if<protocol::Value>(&reply)) receive_value(withdrawn->second, *value);
    withdrawn_.erase(withdrawn);
    return;
  }
  const auto asked = asked_by_.find(id);
  if (asked == asked_by_.end()) {  // a request that no thread waits for
    if (const auto* value = std::get_if<protocol::Value>(&reply); value != nullptr && value->record != 0) world_.release_pin(connection_, value->pin);
    return;
  }
  Thread& thread = threads_[asked->second];
  asked_by_.erase(asked);
  thread.waits_in.reset();
  if (const auto* value = std::get_if<protocol::Value>(&reply)) receive_value(thread.asked, *value);
  if (const auto* lease = std::get_if<protocol::Lease>(&reply)) {
    thread.stack.push_back({thread.asked, lease->token});
    world_.tokens().push_back(lease->token);
    if (world_.schedule().profile.reserves_early && !blob_request_ && reserved_.empty()) {
      reserving_ = true;
      blob_request_ = send(protocol::Reserve{world_.schedule().profile.settings.blob_bytes_max / 3, receipt_, false, thread.asked});
    }
    if (lease->take_up && !world_.random().percent(15)) send(protocol::TakeUp{lease->token});
  }
}

void Process::receive_value(const std::string& key, const protocol::Value& value) {
  const std::string* expected = world_.model().content_of(key, value.version);
  if (expected == nullptr) throw Violation("a version that was never published");
  if (value.record == 0) return give_back(value);
  if (!mapped_) throw Violation("a pin for a connection without a page");
  if (world_.text_at(value.record, key) != *expected) throw Violation("the pinned record holds other bytes (L3)");
  // It reads for a while; until then the bytes must stay, whatever happens to the key.
  const std::uint64_t longest = world_.schedule().profile.small_arena ? 3'000'000 : 100'000;
  if (!old_blobs_.empty() && !blob_request_ && world_.random().percent(10)) {
    reserving_ = false;
    blob_request_ = send(protocol::Fetch{world_.random().pick(old_blobs_), receipt_});
  }
  world_.after(std::chrono::microseconds(world_.random().between(1, longest)), [this, key, value, bytes = *expected] {
    if (dead_) return;
    if (world_.text_at(value.record, key) != bytes) throw Violation("a pinned record changed");
    world_.release_pin(connection_, value.pin);
  });
}

}  // namespace onced::simulation
