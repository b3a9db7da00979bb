#include "engine/explanations.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

#include "engine/dependency_texts.hpp"
#include "engine/key_fields.hpp"
#include "engine/key_rows.hpp"
#include "engine/lifespans.hpp"
#include "engine/text.hpp"
#include "engine/upstream_rows.hpp"

namespace onced::engine {
namespace {

constexpr const char* is_on_disk_text = "its value is on disk: whoever asks for it next is given that, unless its time is over, a tag or its function was invalidated, or what it was computed from has changed";

bool is_eviction(GoneReason reason) {
  switch (reason) {
    case GoneReason::evicted_arena_full:
    case GoneReason::evicted_index_full:
    case GoneReason::evicted_blobs_full:
    case GoneReason::evicted_dependencies_full:
    case GoneReason::evicted_session_full:
    case GoneReason::evicted_function_full: return true;
    default: return false;
  }
}

std::string tags_text(const Entry& entry) {
  std::string text;
  for (const TagPlace& place : entry.tags) text += (text.empty() ? "tags: " : ", ") + std::string(place.tag->name);
  return text;
}

}  // namespace

protocol::Explanation Explanations::explain(std::string_view key) const {
  protocol::Explanation explanation;
  explanation.row.key = key;
  const auto ago = [&](Time then) { return duration_text(context_.now - then); };
  const Entry* entry = directory_.find(key);
  if (entry == nullptr || entry->unused()) {
    explain_absence(key, explanation);
    return explanation;
  }
  explanation.row = row_of(*entry, computations_.queues(), context_.now);
  std::vector<std::string>& lines = explanation.lines;
  if (entry->value) {
    const StoredValue& value = *entry->value;
    const Stretch stretch = stretch_at(value, time_word(context_.now));
    const std::string is = stretch == Stretch::over ? "expired, and about to go:" : stretch == Stretch::stale ? "stale," : "ready,";
    lines.push_back(is + " stored " + ago(value.stored) + " ago, " + bytes_text(value.bytes) +
                    (value.was_put ? ", put by " : ", computed in " + duration_text(std::chrono::microseconds(value.cost_us)) + " by ") +
                    value.origin);
    lines.push_back(freshness_text(*entry));
    explain_staleness(*entry, explanation);
    if (!entry->tags.empty()) lines.push_back(tags_text(*entry));
    explain_parts(value, explanation);
  }
  for (std::string& line : dependency_texts(*entry)) lines.push_back(std::move(line));
  describe_upstreams(*entry, explanation);
  if (entry->lease != nullptr) {
    const Lease& lease = *entry->lease;
    lines.push_back("being computed for " + ago(lease.granted) + " by " + lease.holder_name +
                    (lease.taken_up ? "" : ", which has yet to take it up"));
    if (!std::isnan(lease.fraction))
      lines.push_back(std::to_string(static_cast<int>(lease.fraction * 100)) + " % done" +
                      (lease.progress.empty() ? "" : ": " + lease.progress));
    lines.push_back("its lease ends in " + duration_text(lease.granted + lease.limit - context_.now) + " at the latest");
  }
  if (entry->queued) {
    lines.push_back("queued for " + ago(entry->queued->since) + " as " + computations_.queues().standing_text(*entry) +
                    (entry->queued->background ? ", in the background" : ""));
    lines.push_back("before it: " + computations_.running_text(function_of(key)));
  }
  if (entry->loading) lines.push_back("being read from disk for " + ago(entry->loading->since));
  if (entry->value && !entry->value->outdated && is_on_disk(key)) lines.emplace_back("on disk too");
  if (entry->failure) lines.push_back("failed " + ago(entry->failure->since) + " ago: " + entry->failure->text);
  if (!entry->value && entry->lease == nullptr && !entry->failure && !entry->loading) explain_absence(key, explanation);
  if (const Gone* gone = catalog_.gone().find(key);
      gone != nullptr && gone->reason == GoneReason::memory_refused && entry->value && gone->when > entry->value->stored)
    lines.push_back("a newer value was " + how_it_went(key));
  const std::size_t shown = std::min(entry->detached.size(), detached_explained_max);
  for (const Lease* lease : std::span(entry->detached).first(shown))
    lines.push_back("a computation of before its invalidation still runs, by " + lease->holder_name + "; it answers " +
                    count_text(lease->waiters.size(), "waiting request") + " and is not kept");
  if (const std::size_t more = entry->detached.size() - shown; more > 0)
    lines.push_back("so " + std::string(more == 1 ? "does " : "do ") + count_text(more, "other"));
  if (const int deaths = computations_.holder_deaths(*entry); deaths > 0)
    lines.push_back((deaths == 1 ? std::string("a process") : std::to_string(deaths) + " processes in a row") + " died while computing it");
  if (explanation.row.waiting > 0) lines.push_back(count_text(explanation.row.waiting, "request") + (explanation.row.waiting == 1 ? " waits for it" : " wait for it"));
  return explanation;
}

// Whatever was dropped or is over in memory is so on disk; only what was evicted, or what this daemon never had, is not.
void Explanations::explain_absence(std::string_view key, protocol::Explanation& explanation) const {
  const Gone* const gone = catalog_.gone().find(key);
  const bool on_disk = is_on_disk(key) && (gone == nullptr || is_eviction(gone->reason) || gone->reason == GoneReason::memory_refused);
  if (gone != nullptr || !on_disk) explanation.lines.push_back(how_it_went(key));
  if (on_disk) explanation.lines.emplace_back(is_on_disk_text);
}

bool Explanations::is_on_disk(std::string_view key) const {
  return context_.disk != nullptr && context_.disk->takes(key) && context_.disk->may_have(key);
}

std::string Explanations::freshness_text(const Entry& entry) const {
  const StoredValue& value = *entry.value;
  if (value.fresh_until_ms == protocol::never_expires) return "stays until it is evicted or invalidated";
  const auto until = [&](std::uint64_t word) { return duration_text(std::max(Duration::zero(), moment_of(word) - context_.now)); };
  const std::string grace = duration_text(std::chrono::milliseconds(value.grace_ms));
  std::string text;
  const Stretch stretch = stretch_at(value, time_word(context_.now));
  if (stretch == Stretch::fresh || stretch == Stretch::early) {
    text = "fresh for another " + until(value.fresh_until_ms);
    if (value.grace_ms > 0) text += ", then usable for " + grace + " while it is refreshed";
    if (value.early_ms > 0)
      text += "; " + (stretch == Stretch::early ? "already now" : "in " + until(value.fresh_until_ms - value.early_ms)) +
              " a reader may refresh it ahead of time";
  } else if (stretch == Stretch::stale) {
    text = "stale for " + duration_text(context_.now - moment_of(value.fresh_until_ms)) + ", usable for another " + until(usable_until_ms(value));
  } else {
    text = value.grace_ms > 0 ? "its grace of " + grace + " is over" : "its time-to-live is over";
  }
  if (entry.lease != nullptr) text += ", being refreshed by " + entry.lease->holder_name;
  else if (stretch == Stretch::stale && !entry.queued && !entry.failure && !computations_.queues().has_room(function_of(entry.key)))
    text += "; nobody refreshes it while its function computes as many as it may (max_concurrent = " +
            std::to_string(computations_.queues().limit_of(function_of(entry.key))) + ")";
  else if (entry.failure) text += "; nobody tries again for another " + duration_text(std::max(Duration::zero(), entry.failure->until - context_.now));
  return text;
}

// What has become of the value itself; what has of its upstreams, dependency_texts() says.
void Explanations::explain_staleness(const Entry& entry, protocol::Explanation& explanation) const {
  const StoredValue& value = *entry.value;
  const Stretch stretch = stretch_at(value, time_word(context_.now));
  if (stretch == Stretch::stale || stretch == Stretch::over) {
    explanation.stale_cause = stale_cause_of(entry);
    explanation.stale_ms = milliseconds_between(moment_of(value.fresh_until_ms), context_.now);
    if (explanation.stale_cause == protocol::StaleCause::time) explanation.lines.push_back("stale because its time-to-live was over");
  }
  if (value.softened == nullptr) return;
  explanation.softened_by = value.softened->by;
  explanation.softened_ms = milliseconds_between(value.softened->when, context_.now);
  explanation.lines.push_back((value.softened->made_stale ? "stale because it was invalidated softly " : "invalidated softly ") +
                              duration_text(context_.now - value.softened->when) + " ago by " + value.softened->by +
                              (value.softened->made_stale ? "" : ", when it was stale already"));
}

void Explanations::explain_parts(const StoredValue& value, protocol::Explanation& explanation) const {
  std::size_t in_blobs = 0;
  for (const protocol::Part& part : catalog_.store().read(value.record)) {
    explanation.parts.push_back({part.name, part.content_type, part.size(), part.blob});
    in_blobs += part.blob != 0 ? 1U : 0U;
  }
  std::vector<std::string>& lines = explanation.lines;
  const bool is_plain = value.parts == 1 && in_blobs == 0;  // goes without saying
  if (const std::size_t in_segment = value.parts - in_blobs; in_segment > 0 && !is_plain)
    lines.push_back(count_text(in_segment, "part") + " in the segment, " + bytes_text(value.bytes - value.blob_bytes));
  if (in_blobs > 0) {
    lines.push_back(count_text(in_blobs, "part") + " in " + count_text(value.blobs, "blob") + ", sealed memory of " +
                    (value.blobs == 1 ? "its" : "their") + " own, " + bytes_text(value.blob_bytes));
  }
  const RecordRef records[] = {value.record};
  explanation.row.pins = catalog_.store().pins(records).front();
  if (explanation.row.pins > 0) lines.push_back("readers hold it " + count_text(explanation.row.pins, "time"));
}

std::string Explanations::how_it_went(std::string_view key) const {
  const Gone* gone = catalog_.gone().find(key);
  if (gone == nullptr) {
    // Whatever had a value since then has one still, or is remembered.
    const std::optional<Time> since = catalog_.gone().forgotten_before();
    if (!since) return "never computed since the daemon, or its namespace, began";
    return "nothing is known of it: it had no value in the last " + duration_text(context_.now - *since) + ", and what was before that is forgotten";
  }
  const std::string when = duration_text(context_.now - gone->when) + " ago";
  const auto after = [](const std::string& text) { return text.empty() ? text : "; " + text; };
  switch (gone->reason) {
    case GoneReason::evicted_arena_full: return "evicted " + when + " because the arena was full" + after(gone->text);
    case GoneReason::evicted_index_full: return "evicted " + when + " because its place in the index was needed" + after(gone->text);
    case GoneReason::evicted_blobs_full: return "evicted " + when + " because memory for other blobs was needed" + after(gone->text);
    case GoneReason::evicted_dependencies_full: return "evicted " + when + " because no more dependencies of values could be recorded";
    case GoneReason::evicted_session_full: return "evicted " + when + " because its session had all that it may keep" + after(gone->text);
    case GoneReason::evicted_function_full: return "evicted " + when + " because its function had all that it may keep" + after(gone->text);
    case GoneReason::expired: return "expired " + when;
    case GoneReason::invalidated: return "invalidated " + when + " by " + gone->text;
    case GoneReason::superseded: return "dropped " + when + ": a value of " + gone->text + " took its place";
    case GoneReason::not_stored: return "computed " + when + " but not kept: " + gone->text;
    case GoneReason::memory_refused: return "not kept " + when + ": " + gone->text;
    case GoneReason::failed: return "failed " + when + ": " + gone->text;
    case GoneReason::cancelled: return when + " " + gone->text;
  }
  return {};
}

}  // namespace onced::engine
