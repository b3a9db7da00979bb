#include "engine/disk_values.hpp"

#include <utility>

#include "engine/key_fields.hpp"

namespace onced::engine {

namespace {

// Of all versions of a function with the same arguments.
std::string family_label(std::string_view key) {
  const KeyWithoutVersion own = without_version(key);
  return std::string(own.head) + std::string(own.arguments);
}

}  // namespace

// ---- writing --------------------------------------------------------------------------------------------------------

DiskTicket DiskValues::put(const Entry& entry, const SharedParts& parts, const std::vector<std::string>& tags, const std::vector<DiskUpstream>& upstreams,
                           bool durable) {
  if (!takes(entry.key)) return {};
  note_change(entry.key);
  const StoredValue& value = *entry.value;
  const std::string family = family_label(entry.key);
  DiskImage image;
  image.key = entry.key;
  image.epoch = context_.settings.epoch;
  image.version = value.version;
  image.fresh_until_ms = value.fresh_until_ms;
  image.life = {.fresh_ms = protocol::as_configured, .early_ms = value.early_ms, .grace_ms = value.grace_ms};
  if (value.fresh_until_ms != protocol::never_expires) image.life.fresh_ms = value.fresh_until_ms - time_word(context_.now);
  image.cost_us = value.cost_us;
  image.was_put = value.was_put;
  image.origin = value.origin;
  image.tags = &tags;
  if (!upstreams.empty()) image.upstreams = &upstreams;
  image.family = family;
  image.merit = static_cast<float>(value.crf + value.log_merit_per_use);
  const DiskTicket ticket = durable ? next_ticket() : DiskTicket{};
  if (durable) open_[ticket].is_put = true;
  ++context_.counters.disk_puts;
  tier_->put(ticket, image, parts, durable);
  return ticket;
}

DiskTicket DiskValues::drop(std::string_view key, bool waited_for) {
  note_change(key);  // also of what has just been evicted there: a load may have seen it
  // What the tier does not find any more may still be in its log, and found there after a crash: whoever waits is promised that it is not.
  if (!takes(key) || (!waited_for && !may_have(key))) return {};
  const DiskTicket ticket = next_ticket();
  if (waited_for) open_.try_emplace(ticket);
  tier_->drop(ticket, key);
  return ticket;
}

DiskTicket DiskValues::drop_label(DiskTier::Label kind, std::string_view name, bool waited_for) {
  note_label();
  if (!is_on()) return {};
  const DiskTicket ticket = ticket_for_label(waited_for);
  if (kind == DiskTier::Label::family) tier_->drop_label(ticket, kind, family_label(name));
  else tier_->drop_label(ticket, kind, name);
  return ticket;
}

DiskTicket DiskValues::drop_in_session(std::uint64_t number, bool waited_for) {
  note_label();
  if (!keeps_sessions()) return {};
  const DiskTicket ticket = ticket_for_label(waited_for);
  tier_->drop_in_session(ticket, number);
  return ticket;
}

DiskTicket DiskValues::ticket_for_label(bool waited_for) {
  const DiskTicket ticket = next_ticket();
  if (waited_for) open_.try_emplace(ticket);
  labels_.insert(ticket);
  return ticket;
}

void DiskValues::note_change(std::string_view key) {
  ++changes_;
  if (!loads_.empty()) changed_.add(mark_of(key), changes_);
}

// Two keys may have the same: then both have changed.
std::string DiskValues::mark_of(std::string_view key) const { return std::to_string(context_.hash(key)); }

bool DiskValues::has_changed(std::string_view key, std::uint64_t since) const {
  return label_changed_ > since || changed_.of({mark_of(key)}, since).has_value();
}

DiskTicket DiskValues::keep_session(const DiskSession& session) {
  if (!keeps_sessions()) return {};
  const DiskTicket ticket = next_ticket();
  open_.try_emplace(ticket);
  tier_->keep_session(ticket, session);
  return ticket;
}

DiskTicket DiskValues::end_session(std::uint64_t number, bool waited_for) {
  note_label();
  if (!keeps_sessions()) return {};
  const DiskTicket ticket = next_ticket();
  if (waited_for) open_.try_emplace(ticket);
  tier_->end_session(ticket, number);
  return ticket;
}

void DiskValues::answer(DiskTicket ticket, ReplyAddress to, protocol::Reply reply) {
  const auto found = open_.find(ticket);
  if (found == open_.end()) return context_.send(to, std::move(reply));
  Open& open = found->second;
  open.to = to;
  open.reply = std::move(reply);
  if (!open.outcome) {
    connections_.at(to.connection).held_back.insert(to.id);
    return;
  }
  finish(open);
  open_.erase(found);
}

void DiskValues::forget(DiskTicket ticket) { open_.erase(ticket); }

void DiskValues::finish(Open& open) {
  if (auto* published = std::get_if<protocol::Published>(&open.reply)) {
    published->durable = open.is_put && *open.outcome == DiskOutcome::done;
  } else if (std::holds_alternative<protocol::SessionOpened>(open.reply)) {
    if (*open.outcome == DiskOutcome::failed && context_.is_time_to_note(session_noted_))
      context_.note(Note::Level::warning, "the disk cannot be written: sessions begin and get new ids in memory; if the daemon ends before the disk works "
                                          "again, those are as they were before");
  } else if (*open.outcome == DiskOutcome::failed) {
    ++context_.counters.disk_not_durable;
    return context_.refuse(*open.to, ErrorCode::not_durable,
                           "it is dropped, but that could not be written to the disk: if the daemon ends before the disk works again, what was dropped may "
                           "be found again; see `oncectl disk status`, then do it again");
  }
  context_.send(*open.to, std::move(open.reply));
}

void DiskValues::written(const DiskWritten& event, std::vector<Entry*>& without) {
  if (labels_.erase(event.ticket) > 0) load_postponed(without);
  const auto found = open_.find(event.ticket);
  if (found == open_.end()) return;
  Open& open = found->second;
  open.outcome = event.outcome;
  if (!open.to) return;  // the answer is still waiting for something else
  Connection* const connection = connections_.find(open.to->connection);
  if (connection != nullptr && connection->held_back.erase(open.to->id) > 0) finish(open);
  open_.erase(found);
}

void DiskValues::drain() {
  for (auto at = open_.begin(); at != open_.end();) {
    Open& open = at->second;
    if (!open.to) {
      ++at;
      continue;
    }
    Connection* const connection = connections_.find(open.to->connection);
    if (connection != nullptr && connection->held_back.erase(open.to->id) > 0) {
      const bool is_done = std::holds_alternative<protocol::Published>(open.reply) || std::holds_alternative<protocol::SessionOpened>(open.reply);
      if (is_done) context_.send(*open.to, std::move(open.reply));
      else context_.refuse(*open.to, ErrorCode::unavailable, "the daemon is shutting down, and is still writing to the disk that it is dropped");
    }
    at = open_.erase(at);
  }
}

// ---- loading --------------------------------------------------------------------------------------------------------

bool DiskValues::begin_load(Entry& entry, std::uint64_t stamp) {
  if (!may_have(entry.key)) return false;
  const DiskTicket ticket = next_ticket();
  if (labels_.empty()) {
    if (!tier_->load(ticket, entry.key)) return false;
  } else {
    postponed_.push_back({ticket, *labels_.rbegin()});
  }
  entry.loading = Loading{.ticket = ticket, .stamp = stamp, .changes = changes_, .since = context_.now};
  loads_.emplace(ticket, &entry);
  stamps_.insert(stamp);
  return true;
}

void DiskValues::load_postponed(std::vector<Entry*>& without) {
  while (!postponed_.empty() && (labels_.empty() || postponed_.front().after < *labels_.begin())) {
    const DiskTicket ticket = postponed_.front().load;
    postponed_.pop_front();
    const auto found = loads_.find(ticket);
    if (found == loads_.end() || tier_->load(ticket, found->second->key)) continue;
    without.push_back(found->second);
  }
}

Entry* DiskValues::take(DiskTicket ticket) {
  const auto found = loads_.find(ticket);
  return found == loads_.end() ? nullptr : found->second;
}

void DiskValues::end_load(Entry& entry) {
  if (!entry.loading) return;
  loads_.erase(entry.loading->ticket);
  stamps_.erase(stamps_.find(entry.loading->stamp));
  entry.loading.reset();
  if (loads_.empty()) changed_.forget_up_to(changes_);
}

std::vector<Entry*> DiskValues::entries_loading() const {
  std::vector<Entry*> entries;
  for (const auto& [ticket, entry] : loads_) entries.push_back(entry);
  return entries;
}

std::optional<std::uint64_t> DiskValues::oldest_stamp() const {
  return stamps_.empty() ? std::nullopt : std::optional(*stamps_.begin());
}

void DiskValues::check_invariants() const {
  ONCED_ASSERT(stamps_.size() == loads_.size());
  for (const auto& [ticket, entry] : loads_) {
    ONCED_ASSERT(entry->loading && entry->loading->ticket == ticket);
    ONCED_ASSERT(stamps_.contains(entry->loading->stamp));
  }
  ONCED_ASSERT(is_on() || (loads_.empty() && open_.empty() && labels_.empty()));
  ONCED_ASSERT(!labels_.empty() || postponed_.empty());  // or they would never begin
  ONCED_ASSERT(!loads_.empty() || changed_.size() == 0);
}

}  // namespace onced::engine
