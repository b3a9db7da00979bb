#include "engine/lifespans.hpp"

#include <algorithm>

namespace onced::engine {
namespace {

// When the stretch after this one begins; never_expires: never.
std::uint64_t next_change_ms(const StoredValue& value, Stretch stretch) {
  switch (stretch) {
    case Stretch::fresh:
      return value.fresh_until_ms == protocol::never_expires ? protocol::never_expires : value.fresh_until_ms - value.early_ms;
    case Stretch::early: return value.fresh_until_ms;
    case Stretch::stale:
    case Stretch::over: break;
  }
  return usable_until_ms(value);
}

}  // namespace

std::uint64_t usable_until_ms(const StoredValue& value) {
  return value.fresh_until_ms == protocol::never_expires ? protocol::never_expires : value.fresh_until_ms + value.grace_ms;
}

Stretch stretch_at(const StoredValue& value, std::uint64_t time_word) {
  if (time_word >= usable_until_ms(value)) return Stretch::over;
  if (time_word >= value.fresh_until_ms) return Stretch::stale;
  return value.early_ms > 0 && time_word >= value.fresh_until_ms - value.early_ms ? Stretch::early : Stretch::fresh;
}

Lifespans::Lifespans(Context& context, RecordStore& store) : context_(context), store_(store) { move_time_word(); }

void Lifespans::begin(Entry& entry) {
  entry.value->stretch = Stretch::fresh;
  schedule(entry);
}

void Lifespans::end(Entry& entry) { unschedule(entry); }

bool Lifespans::has_changed(const Entry& entry) const {
  return entry.value && entry.value->stretch != stretch_at(*entry.value, time_word(context_.now));
}

Stretch Lifespans::advance(Entry& entry) {
  unschedule(entry);
  entry.value->stretch = stretch_at(*entry.value, time_word(context_.now));
  schedule(entry);
  return entry.value->stretch;
}

void Lifespans::make_stale(Entry& entry) {
  StoredValue& value = *entry.value;
  move_time_word();  // or readers would take it for fresh until the word has come to the present time
  unschedule(entry);
  value.fresh_until_ms = time_word(context_.now);
  if (value.grace_ms == 0) value.grace_ms = static_cast<std::uint32_t>(std::chrono::milliseconds(limits::soft_grace).count());
  value.stretch = Stretch::stale;
  store_.set_life(value.record, value.fresh_until_ms, value.grace_ms);
  schedule(entry);
}

void Lifespans::move_time_word() {
  store_.set_time_ms(time_word(context_.now));
  time_word_moved_ = context_.now;
}

bool Lifespans::turn() {
  const std::optional<Time> step = next_step();
  if (!(step && *step <= context_.now) && due() == nullptr) return false;
  move_time_word();
  return true;
}

Entry* Lifespans::due() const {
  return changes_.empty() || changes_.begin()->first > context_.now ? nullptr : changes_.begin()->second;
}

std::optional<Time> Lifespans::next_turn() const {
  const Duration period = context_.settings.time_word_period;
  std::optional<Time> next = next_step();
  if (changes_.empty()) return next;
  const Time change = (changes_.begin()->first + period - Duration(1)) / period * period;
  return next ? std::min(*next, change) : change;
}

std::optional<Time> Lifespans::next_step() const {
  if (early_steps_.empty()) return std::nullopt;
  const Duration period = context_.settings.time_word_period;  // not longer than any step
  return (time_word_moved_ + *early_steps_.begin()) / period * period;
}

bool Lifespans::knows(const Entry& entry) const {
  const StoredValue& value = *entry.value;
  if (value.early_step.has_value() != (value.stretch == Stretch::early)) return false;
  if (!value.next_change) return next_change_ms(value, value.stretch) == protocol::never_expires;
  return (*value.next_change)->second == &entry && (*value.next_change)->first == moment_of(next_change_ms(value, value.stretch));
}

void Lifespans::schedule(Entry& entry) {
  StoredValue& value = *entry.value;
  if (const std::uint64_t next_ms = next_change_ms(value, value.stretch); next_ms != protocol::never_expires)
    value.next_change = changes_.emplace(moment_of(next_ms), &entry);
  if (value.stretch != Stretch::early) return;
  const Duration step = std::chrono::milliseconds(value.early_ms / steps_of_early_stretch);
  value.early_step = early_steps_.insert(std::max(step, context_.settings.time_word_period));
}

void Lifespans::unschedule(Entry& entry) {
  StoredValue& value = *entry.value;
  if (value.next_change) changes_.erase(*value.next_change);
  value.next_change.reset();
  if (value.early_step) early_steps_.erase(*value.early_step);
  value.early_step.reset();
}

}  // namespace onced::engine
