#include "world.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include <onced/protocol/frame.hpp>

#include "engine/context.hpp"

namespace onced::simulation {

using namespace std::chrono_literals;
using engine::ConnectionId;

namespace {

constexpr std::uint64_t hash_seed = 7;

std::byte* aligned(std::size_t bytes) {
  void* memory = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  std::memset(memory, 0, bytes);
  return static_cast<std::byte*>(memory);
}

}  // namespace

void Memory::Free::operator()(void* memory) const { std::free(memory); }

Memory::Memory() : segment_(aligned(segment_bytes)) {}

std::span<std::byte> Memory::segment() {
  std::memset(segment_.get(), 0, segment_bytes);
  return {segment_.get(), segment_bytes};
}

// The counters are most of a page; simulated clients count in the first line only.
protocol::PinPage& Memory::fresh_page(std::size_t number) {
  while (pages_.size() <= number) pages_.emplace_back(aligned(sizeof(protocol::PinPage)));
  std::memset(pages_[number].get(), 0, offsetof(protocol::PinPage, counters) + sizeof(protocol::PinPage::counters[0]));
  for (auto& marks : page(number).session_uses) marks.store(0);
  return memory::format_pin_page({pages_[number].get(), sizeof(protocol::PinPage)});
}

World::World(Schedule& schedule, Memory& memory)
    : schedule_(schedule),
      memory_(memory),
      observer_page_(memory.fresh_page(0)) {
  observer_page_.client_lines_used = 1;
  actions_left_ = schedule.profile.steps;
  if (schedule.profile.disk) {
    disk_ = std::make_unique<SimulatedDisk>(
        schedule, blob_contents_, [this](Duration delay, std::function<void()> action) { after(delay, std::move(action)); }, [this](engine::Event event) { step(std::move(event)); });
  }
}

void World::begin_daemon() {
  const engine::Settings& settings = schedule_.profile.settings;
  store_.emplace(memory::SegmentStore::create(memory_.segment(), hash_seed, settings.epoch, {.count_max = schedule_.profile.blobs_max}).value());
  engine_.emplace(settings, *store_, store_->real().blobs(), disk_.get());
  if (disk_ != nullptr) disk_->attach(store_->real().blobs());
  const engine::SessionsFound found = disk_ != nullptr ? disk_->found() : engine::SessionsFound{};
  model_.emplace(schedule_, store_->real(), *engine_, disk_.get(), told_sessions_, blob_contents_);
  store_->real().life_word().store(1);
  store_->tell(model_->blobs());
  reader_ = protocol::SegmentReader::open(store_->real().segment()).value();
  sessions_found_ += found.sessions.size();
  if (schedule_.profile.keeps_sessions) step(found);
  connections_[SignalModel::monitor];
  step(engine::Connected{SignalModel::monitor, "the monitor", {}});
  step(engine::Requested{SignalModel::monitor, 1, protocol::Subscribe{{protocol::ScopeKind::everything, {}}, 0, 0}});
}

void World::run() {
  last_connection_ = 1;
  begin_daemon();
  for (std::size_t i = 0; i < schedule_.profile.processes; ++i) start_process();
  const bool drains = random().percent(10);
  while (!actions_.empty()) {
    if (actions_left_ == 0 && drains) break;
    const Action next = actions_.top();
    actions_.pop();
    schedule_.now = std::max(schedule_.now, next.at);
    next.run();
  }
  if (drains) {
    step(engine::Draining{});
    if (model_->pending() != 0) throw Violation("a waiter was left without an answer while the daemon drains (L3)");
    return;
  }
  quiesce();
}

void World::after(Duration delay, std::function<void()> action) {
  actions_.push({schedule_.now + delay, ++last_action_, std::move(action)});
}

// ---- processes ------------------------------------------------------------------------------------------------------

void World::start_process() {
  const ConnectionId id{++last_connection_};
  const bool mapped = random().percent(75);
  processes_.push_back(std::make_unique<Process>(*this, id, mapped));
  Connection& connection = connections_[id];
  connection.process = processes_.back().get();
  if (mapped) {
    connection.page = pages_used_++;
    protocol::PinPage& page = memory_.fresh_page(*connection.page);
    page.client_lines_used = 1;
    store_->real().add_page(id, page);
  }
  connection.pid = static_cast<std::uint32_t>(last_connection_);
  if (random().percent(5)) connection.pid = 0;
  if (random().percent(20)) {  // another connection of a process that has one
    const auto other = std::find_if(connections_.begin(), connections_.end(), [&](const auto& one) {
      return one.second.process != nullptr && one.second.pid != 0 && one.first != id;
    });
    if (other != connections_.end()) connection.pid = other->second.pid;
  }
  step(engine::Connected{id, "pid " + std::to_string(connection.pid), {0, connection.pid}});
  connection.process->start();
}

void World::kill(ConnectionId id) {
  const std::uint32_t pid = connections_.at(id).pid;
  for (const auto& [other, connection] : connections_)
    if (connection.process != nullptr && (other == id || (pid != 0 && connection.pid == pid))) end_with_process(other);
  if (may_act()) after(std::chrono::microseconds(random().between(1, 100'000)), [this] { start_process(); });
}

void World::end_with_process(ConnectionId id) {
  Connection& connection = connections_.at(id);
  schedule_.trace([&] { return "        process of connection " + std::to_string(static_cast<std::uint64_t>(id)) + " is killed"; });
  connection.process->die();
  connection.process = nullptr;
  // What it had written is in the socket already. Who notices its death first: the pidfd or the hang-up; a child may
  // keep the socket open for long.
  if (random().percent(60)) after(std::chrono::microseconds(random().between(0, 3000)), [this, id] { step(engine::ProcessDied{id}); });
  const Duration hang_up = random().percent(30) ? Duration(std::chrono::milliseconds(random().between(1, 5000))) : Duration(1ms);
  after(std::max(hang_up, connection.last_arrival - schedule_.now), [this, id] { disconnect(id); });
}

void World::disconnect(ConnectionId id) {
  Connection& connection = connections_.at(id);
  if (!connection.socket_open) return;
  connection.socket_open = false;
  connection.to_client.clear();
  step(engine::Disconnected{id});
  if (connection.page) store_->real().remove_page(id);
}

void World::send(ConnectionId id, RequestId request_id, const protocol::Request& request) {
  Connection& connection = connections_.at(id);
  std::string frame;
  protocol::encode(request_id, request, frame);
  const Duration delay = std::chrono::microseconds(random().between(1, schedule_.profile.delay_us_max));
  connection.last_arrival = std::max(connection.last_arrival, schedule_.now + delay);
  after(connection.last_arrival - schedule_.now, [this, id, frame = std::move(frame)] {
    if (!connections_.at(id).socket_open) return;
    const auto header = protocol::decode_header(reinterpret_cast<const std::uint8_t*>(frame.data())).value();
    auto decoded = protocol::decode_request(header.type, std::string_view(frame).substr(protocol::frame_header_bytes));
    if (!decoded) throw Violation("a request does not survive the wire: " + decoded.error().text);
    engine::Requested event{id, header.request_id, std::move(*decoded)};
    if (std::holds_alternative<protocol::NewSession>(event.request) || std::holds_alternative<protocol::RotateSession>(event.request)) {
      event.secret.emplace().fill(static_cast<unsigned char>(++last_secret_ >> 8));
      event.secret->front() = static_cast<unsigned char>(last_secret_);
    }
    step(std::move(event));
  });
}

void World::stop_reading(ConnectionId id, Duration duration) { connections_.at(id).stopped_until = schedule_.now + duration; }

void World::relimit() {
  const std::string& function = random().pick(all_functions());
  const std::uint64_t limit = random().between(0, 3);
  schedule_.trace([&] { return "        max_concurrent of " + function + " is " + std::to_string(limit) + " from now on"; });
  schedule_.profile.settings.max_concurrent[function] = limit;
  engine_->reconfigure(schedule_.profile.settings);
  plan_tick();
}

void World::relimit_bytes() {
  const std::string& function = random().pick(all_functions());
  const std::uint64_t limit = random().percent(25) ? 0 : schedule_.profile.function_bytes(random());
  schedule_.trace([&] { return "        bytes_max of " + function + " is " + std::to_string(limit) + " from now on"; });
  schedule_.profile.settings.function_bytes_max[function] = limit;
  engine_->reconfigure(schedule_.profile.settings);
  plan_tick();
}

std::optional<std::uint64_t> World::look_up(ConnectionId id, const std::string& key, const std::optional<protocol::SessionGrant>& grant) {
  protocol::PinPage& page = memory_.page(*connections_.at(id).page);
  const protocol::LookupResult found = grant ? reader_->lookup_in_session(key, reader_->hash(key), page, 0, protocol::LineUse::exclusive, *grant)
                                             : reader_->lookup(key, reader_->hash(key), page, 0);
  // Hits are no uses here: the model would have to know when the engine takes their marks.
  for (auto& marks : page.session_uses) marks.store(0);
  if (grant && found.outcome == protocol::LookupOutcome::hit && !model_->is_good(*grant)) throw Violation("a hit under an id that is dead");
  if (found.outcome != protocol::LookupOutcome::hit) return std::nullopt;
  const std::uint64_t version = found.record->version;
  const std::string* expected = model_->content_of(key, version);
  if (expected == nullptr || text_at(reader_->offset_of(found.record), key) != *expected) throw Violation("a hit with other bytes");
  protocol::release_pin(page, found.pin);
  return version;
}

std::string World::text_at(std::uint64_t record, const std::string& key) {
  const protocol::RecordHeader* header = reader_->record_at(record, key);
  if (header == nullptr) throw Violation("no record of the key where an answer says");
  Parts parts;
  for (std::size_t number = 0; number < header->part_count; ++number) {
    const auto part = reader_->part(header, number);
    parts.push_back({std::string(part->name), {}, std::string(reinterpret_cast<const char*>(part->bytes.data()), part->bytes.size()),
                     part->blob, part->offset, part->blob != 0 ? part->length : 0});
    if (part->blob != 0 && store_->real().blobs().size(engine::BlobId{part->blob}) == 0) throw Violation("a pinned record names a blob that is gone");
  }
  return blob_contents_.text_of(parts);
}

void World::seal(std::uint64_t blob) {
  const auto descriptor = store_->real().blobs().descriptor(engine::BlobId{blob});
  if (descriptor != nullptr) ::fcntl(descriptor->get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL);
}

void World::release_pin(ConnectionId id, std::uint32_t pin) {
  if (connections_.at(id).socket_open) protocol::release_pin(memory_.page(*connections_.at(id).page), pin);
}

void World::restart() {
  if (++restarts_ > 3) return;
  schedule_.trace([] { return std::string("        the daemon is killed and started anew"); });
  for (auto& [id, connection] : connections_) {
    if (connection.process != nullptr) connection.process->die();
    connection.process = nullptr;
    connection.socket_open = id == SignalModel::monitor;
    connection.to_client.clear();
    connection.page.reset();
  }
  counts_before_ = counts();
  disk_->crash();
  reader_.reset();
  model_.reset();
  engine_.reset();
  store_.reset();
  if (!schedule_.profile.keeps_sessions) session_ids_.clear();
  blobs_seen_.clear();
  blob_contents_.forget_blobs();
  planned_tick_.reset();
  last_step_.reset();
  schedule_.profile.settings.epoch += 2;
  begin_daemon();
  for (std::size_t i = 0; i < schedule_.profile.processes; ++i) start_process();
}

std::map<std::string, std::uint64_t> World::counts() const {
  std::map<std::string, std::uint64_t> counts = counts_before_;
  for (const auto& [name, number] : engine_->statistics(schedule_.now).fields)
    if (const auto* count = std::get_if<std::uint64_t>(&number)) counts[name] += *count;
  counts["derived_loads"] += model_->derived_loads();
  counts["session_loads"] += model_->session_loads();
  counts["blob_loads"] += model_->blob_loads();
  counts["sessions_found"] = sessions_found_;
  return counts;
}

// ---- the host -------------------------------------------------------------------------------------------------------

void World::step(engine::Event event) {
  if (++steps_ > 200'000) throw Violation("the schedule does not come to rest");
  schedule_.trace([&] { return describe(event); });
  const engine::Event told = event;
  model_->before(told);
  engine::Effects effects;
  store_->watch(&effects);
  // Now and then a clock reading is older than one that the engine had; its time must not go back.
  const bool behind = last_step_ == schedule_.now && random().percent(10);
  engine_->apply(std::move(event), behind ? schedule_.now / 2 : schedule_.now, effects);
  last_step_ = schedule_.now;
  store_->watch(nullptr);
  for (engine::Effect& effect : effects)
    if (auto* send = std::get_if<engine::Send>(&effect); send != nullptr && send->parts) send->reply = whole_reply(*send);
  for (const engine::Effect& effect : effects) schedule_.trace([&] { return describe(effect); });
  model_->after(told, effects);
  engine_->check_invariants();
  check_readers();
  check_sessions();
  carry_out(effects);
  plan_tick();
}

void World::carry_out(const engine::Effects& effects) {
  std::uint32_t monitored = 0;
  for (const engine::Effect& effect : effects) {
    if (const auto* close = std::get_if<engine::Close>(&effect)) {
      const ConnectionId id = close->connection;
      if (Process* process = std::exchange(connections_.at(id).process, nullptr)) process->die();
      after(0s, [this, id] { disconnect(id); });
    }
    const auto* send = std::get_if<engine::Send>(&effect);
    if (send == nullptr) continue;
    const bool of_subscription = std::holds_alternative<protocol::Signal>(send->reply) ||
                                 std::holds_alternative<protocol::State>(send->reply) ||
                                 std::holds_alternative<protocol::Position>(send->reply);
    if (send->connection == SignalModel::monitor) {
      monitored += of_subscription ? 1U : 0U;
      continue;
    }
    Connection& connection = connections_.at(send->connection);
    Outgoing out{{}, of_subscription, send->id};
    protocol::encode(send->id, send->reply, out.frame);
    connection.to_client.push_back(std::move(out));
    if (connection.link_busy) continue;
    connection.link_busy = true;
    const ConnectionId id = send->connection;
    after(std::chrono::microseconds(random().between(1, schedule_.profile.delay_us_max)), [this, id] { leave(id); });
  }
  if (monitored > 0) sent_to_monitor(monitored);
}

void World::sent_to_monitor(std::uint32_t count) { step(engine::SignalsSent{SignalModel::monitor, 1, count}); }

// Some of what is queued leaves for the client, unless it does not read.
void World::leave(ConnectionId id) {
  Connection& connection = connections_.at(id);
  if (!connection.socket_open) return;
  if (connection.stopped_until > schedule_.now) {
    after(connection.stopped_until - schedule_.now, [this, id] { leave(id); });
    return;
  }
  connection.link_busy = false;
  std::map<RequestId, std::uint32_t> signals;
  for (std::uint64_t count = random().between(1, 6); count > 0 && !connection.to_client.empty(); --count) {
    const Outgoing out = std::move(connection.to_client.front());
    connection.to_client.pop_front();
    if (out.of_subscription) ++signals[out.id];
    const auto header = protocol::decode_header(reinterpret_cast<const std::uint8_t*>(out.frame.data())).value();
    const auto reply = protocol::decode_reply(header.type, std::string_view(out.frame).substr(protocol::frame_header_bytes));
    if (!reply) throw Violation("a reply does not survive the wire: " + reply.error().text);
    if (connection.process != nullptr) connection.process->receive(header.request_id, *reply);
  }
  if (!connection.to_client.empty() && !connection.link_busy) {
    connection.link_busy = true;
    after(std::chrono::microseconds(random().between(1, schedule_.profile.delay_us_max)), [this, id] { leave(id); });
  }
  for (const auto& [subscription, count] : signals) step(engine::SignalsSent{id, subscription, count});
}

// A tick at the engine's next deadline, or, when the host is busy, some time after it.
void World::plan_tick() {
  const std::optional<Time> due = engine_->next_deadline();
  if (!due || (planned_tick_ && *planned_tick_ <= *due && *planned_tick_ > schedule_.now)) return;
  const Time at = std::max(*due, schedule_.now + 1us);
  planned_tick_ = at;
  Duration late{};
  if (random().percent(schedule_.profile.late_tick_percent)) late = std::chrono::milliseconds(random().between(1, 300));
  // Work that was cut into steps waits for its turn behind other events.
  else if (*due <= schedule_.now) late = std::chrono::microseconds(random().between(0, 2 * schedule_.profile.delay_us_max));
  after(at + late - schedule_.now, [this, at] {
    if (planned_tick_ == at) planned_tick_.reset();
    step(engine::Ticked{});
  });
}

// ---- checks ---------------------------------------------------------------------------------------------------------

// Readers find exactly the values that there are, by the real look-up.
void World::check_readers() {
  const std::uint64_t word = reader_->time_ms();
  const std::uint64_t present = engine::time_word(schedule_.now);
  if (word > present) throw Violation("the time word is ahead of time");
  if (std::chrono::milliseconds(present - word) - 1ms > model_->time_word_age_max())
    throw Violation("the time word stands still though readers draw lots by it");
  for (std::size_t i = 0; i < schedule_.profile.keys; ++i) {
    const std::string& key = all_keys()[i];
    const protocol::LookupResult found = reader_->lookup(key, reader_->hash(key), observer_page_, 0);
    const bool hit = found.outcome == protocol::LookupOutcome::hit;
    const std::uint64_t version = hit ? found.record->version : 0;
    if (hit && version == model_->visible_version(key)) {
      if (found.freshness != model_->visible_freshness(key)) throw Violation("readers take " + name_of_key(key) + " for fresh or stale, and it is not");
      const std::optional<bool> refreshing = model_->visible_refreshing(key);
      if (refreshing && found.freshness != protocol::Freshness::fresh && found.refreshing != *refreshing)
        throw Violation("the record of " + name_of_key(key) + (*refreshing ? " does not say" : " says") + " that it is being refreshed");
    }
    if (hit) protocol::release_pin(observer_page_, found.pin);
    if (version != model_->visible_version(key))
      throw Violation("readers find version " + std::to_string(version) + " of " + name_of_key(key) + " but it should be " +
                      std::to_string(model_->visible_version(key)) + " (L6)");
  }
}

// With each grant that a session ever had: the present one finds what there is, all others find nothing.
void World::check_sessions() {
  for (const auto& [number, generations] : model_->generations()) {
    for (const std::uint64_t generation : generations) {
      const protocol::SessionGrant grant{number, generation};
      for (std::uint64_t which = 0; which < keys_per_session; ++which) {
        const std::string& key = key_in_session(number, which);
        const auto found = reader_->lookup_in_session(key, reader_->hash(key), observer_page_, 0, protocol::LineUse::exclusive, grant);
        const bool hit = found.outcome == protocol::LookupOutcome::hit;
        const std::uint64_t version = hit ? found.record->version : 0;
        if (hit) protocol::release_pin(observer_page_, found.pin);
        if (hit && version == model_->visible_version(key) && found.freshness != model_->visible_freshness(key))
          throw Violation("readers take " + name_of_key(key) + " of session " + std::to_string(number) + " for fresh or stale, and it is not");
        if (hit && !model_->is_good(grant)) throw Violation("readers find " + name_of_key(key) + " of session " + std::to_string(number) + " under an id that is dead");
        if (model_->is_good(grant) && version != model_->visible_version(key)) {
          throw Violation("readers find version " + std::to_string(version) + " of " + name_of_key(key) + " in session " + std::to_string(number) +
                          " but it should be " + std::to_string(model_->visible_version(key)) + " (L6)");
        }
      }
    }
  }
}

// Everybody has run to their end: every wait is answered and every lease over by its limit. Then all leave, and
// nothing of them may be left.
void World::quiesce() {
  if (model_->pending() != 0) throw Violation("a waiter never got an answer (L3)");
  model_->check_all_dropped();
  if (model_->leases() != 0) throw Violation("a lease never ended (L2)");
  for (auto& [id, connection] : connections_) {
    if (id == SignalModel::monitor) continue;
    if (connection.process != nullptr) connection.process->die();
    connection.process = nullptr;
    disconnect(id);
  }
  step(engine::Requested{SignalModel::monitor, 2, protocol::Invalidate{{protocol::ScopeKind::everything, {}}}});
  (void)engine_->statistics(schedule_.now);  // finds what readers hit last: the engine looks once more when the period ends, and then sleeps
  while (engine_->next_deadline() || (disk_ != nullptr && !actions_.empty())) {
    if (!actions_.empty()) {  // of the disk, which still writes, or loads for nobody
      const Action next = actions_.top();
      actions_.pop();
      schedule_.now = std::max(schedule_.now, next.at);
      next.run();
      continue;
    }
    schedule_.now = std::max(schedule_.now, *engine_->next_deadline());
    step(engine::Ticked{});
  }
  if (disk_ != nullptr) {
    if (model_->pending() != 0) throw Violation("an invalidation was never answered, though the disk has ended");
  }
  const protocol::Statistics statistics = engine_->statistics(schedule_.now);
  for (const auto& [name, number] : statistics.fields) {
    const auto is = [&](std::uint64_t expected) {
      if (std::get<std::uint64_t>(number) != expected)
        throw Violation("statistics: " + name + " is " + std::to_string(std::get<std::uint64_t>(number)) + " and not " + std::to_string(expected));
    };
    if (name == "computing" || name == "waiting" || name == "queued" || name == "entries" || name == "keys_known" || name == "dependency_edges" ||
        name == "detached_leases" || name == "blobs" ||
        name == "blobs_reserved" || name == "blob_bytes")
      is(0);
    if (name == "connections" || name == "subscriptions") is(1);
    if (name == "computations") is(model_->computations());
    if (name == "signals") is(model_->signals().sequence());
  }
  if (engine_->next_deadline()) throw Violation("a deadline is left though there is nothing left to do");
  while (store_->reclaim() > 0) continue;
  const auto usage = store_->usage();
  if (usage.used_bytes != 0 || usage.retired_records != 0 || store_->live_records() != 0) throw Violation("memory was not given back");
  check_readers();
}

}  // namespace onced::simulation
