#include "engine/reports.hpp"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/session.hpp>

#include "engine/key_fields.hpp"
#include "engine/key_rows.hpp"
#include "engine/text.hpp"

namespace onced::engine {

using protocol::KeyState;

// Readers' own hits, which the daemon never saw, and its own.
struct Reports::Totals {
  std::vector<RecordStore::HitTotals> readers;  // by function number
  std::uint64_t reader_hits = 0;
  std::uint64_t reader_saved_us = 0;
};

namespace {

double seconds_of(std::uint64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

// The keys of a function without a session lie side by side: from a key of another function without a session the walk
// may jump to them, or behind all keys without a session. Empty: go on key by key.
std::string next_of_function(std::string_view key, std::string_view function) {
  const std::string first = first_bytes_of_function(function);
  if (!key.starts_with(std::string_view(first).substr(0, 2))) return {};
  if (key < first) return first;
  std::string behind = first.substr(0, 2);
  ++behind.back();
  return behind;
}

protocol::Number known_if(bool is_known, protocol::Number number) {
  return is_known ? std::move(number) : protocol::Number(std::numeric_limits<double>::quiet_NaN());
}

void add_last_hour(protocol::Report& report, const Savings& savings, bool readers_are_known = true) {
  report.emplace_back("computations_last_hour", savings.computations);
  report.emplace_back("computations_avoided_last_hour", known_if(readers_are_known, savings.avoided));
  report.emplace_back("duplicates_avoided_last_hour", savings.duplicates_avoided);
  report.emplace_back("seconds_saved_last_hour", known_if(readers_are_known, seconds_of(savings.saved_us)));
}

void add_turn(protocol::Report& report, const std::string& suffix, const LongestTurn::Turn& turn, Time now) {
  report.emplace_back("longest_turn_seconds" + suffix, std::chrono::duration<double>(turn.took).count());
  report.emplace_back("longest_turn_ago_seconds" + suffix, std::chrono::duration<double>(now - std::min(now, turn.ended)).count());
}

}  // namespace

Reports::Totals Reports::totals() const {
  Totals totals{.readers = context_.recent.readers()};
  for (const RecordStore::HitTotals& one : totals.readers) {
    totals.reader_hits += one.hits;
    totals.reader_saved_us += one.saved_us;
  }
  return totals;
}

protocol::StatusReport Reports::status(Time now) const {
  const Counters& counters = context_.counters;
  const Totals readers = totals();
  const std::uint64_t hits = counters.hits + readers.reader_hits;
  const RecordStore::Usage usage = catalog_.store().usage();
  const BlobStore::Usage blobs = blobs_.usage();
  const std::uint64_t asked = hits + counters.misses;
  protocol::StatusReport report;
  report.fields = {
      {"version", context_.settings.daemon_version},
      {"pid", std::uint64_t{context_.settings.daemon_pid}},
      {"uptime_seconds", std::chrono::duration<double>(now).count()},
      {"hits", hits},
      {"misses", counters.misses},
      {"hit_ratio", asked == 0 ? 0.0 : static_cast<double>(hits) / static_cast<double>(asked)},
      {"computations", counters.computations},
      {"computations_avoided", hits + counters.waiters_served},
      {"duplicates_avoided", counters.duplicates_avoided},
      {"seconds_computed", seconds_of(counters.computed_us)},
      {"seconds_saved", seconds_of(counters.saved_us + readers.reader_saved_us)},
      {"computing", std::uint64_t{computations_.leases().live()}},
      {"waiting", std::uint64_t{computations_.waiting()}},
      {"queued", std::uint64_t{computations_.queues().queued()}},
      {"connections", std::uint64_t{connections_.size()}},
      {"subscriptions", std::uint64_t{signals_.subscriptions()}},
      {"entries", std::uint64_t{catalog_.size()}},
      {"sessions", std::uint64_t{directory_.sessions().live()}},
      {"memory_bytes", usage.used_bytes},
      {"memory_bytes_max", usage.arena_bytes},
      {"blobs", blobs.count},
      {"blobs_max", blobs.count_max},
      {"blobs_reserved", std::uint64_t{blobs_.reserved()}},
      {"blob_bytes", blobs.charged_bytes},
      {"blob_bytes_max", context_.settings.blob_bytes_max},
      {"draining", std::uint64_t{context_.draining ? 1U : 0U}},
  };
  if (context_.disk != nullptr) {
    const DiskTier::Usage disk = context_.disk->usage();
    const std::initializer_list<std::pair<const char*, std::uint64_t>> numbers{
        {"disk_values", disk.values}, {"disk_sessions", disk.sessions}, {"disk_bytes", disk.used_bytes}, {"disk_bytes_max", disk.budget_bytes}, {"disk_queued_bytes", disk.queued_bytes},
        {"disk_degraded", disk.degraded ? 1U : 0U}, {"disk_evictions", disk.evicted}, {"disk_damaged", disk.damaged}, {"disk_older_bytes", disk.older_bytes}, {"disk_left_out", disk.left_out},
        {"mapped_files", blobs.file_count}, {"mapped_file_bytes", blobs.file_bytes}};
    for (const auto& [name, number] : numbers) report.fields.emplace_back(name, number);
  }
  add_last_hour(report.fields, context_.recent.total(now));
  return report;
}

std::vector<Reports::LimitUse> Reports::limit_uses() const {
  std::uint64_t requests = 0;
  std::uint64_t under_way = 0;
  std::uint64_t subscriptions = 0;
  std::uint64_t invalidations = 0;
  std::uint64_t blobs = 0;
  std::uint64_t reserved = 0;
  std::uint64_t waiters = 0;
  for (const auto& [id, connection] : connections_.all()) {
    // Those of one key, whether it is computed, queued, or nobody computes it yet.
    for (const auto& [request, waiter] : connection.waits)
      waiters = std::max<std::uint64_t>(waiters, waiter->detached != nullptr ? waiter->detached->waiters.size() : waiter->entry->waiters.size());
    requests = std::max<std::uint64_t>(requests, connection.waits.size() + connection.leases.size());
    under_way = std::max<std::uint64_t>(under_way, connection.under_way_bytes);
    subscriptions = std::max<std::uint64_t>(subscriptions, connection.subscriptions.size());
    invalidations = std::max<std::uint64_t>(invalidations, connection.invalidations.size() + connection.cancellations.size());
    blobs = std::max<std::uint64_t>(blobs, connection.blobs());
    reserved = std::max(reserved, connection.reserved_bytes);
  }
  return {{Limit::requests_in_flight_per_connection, requests},
          {Limit::under_way_bytes_per_connection, under_way},
          {Limit::under_way_bytes, computations_.under_way_bytes()},
          {Limit::waiters_per_key, waiters},
          {Limit::subscriptions_per_connection, subscriptions},
          {Limit::subscriptions, signals_.subscriptions()},
          {Limit::invalidations_per_connection, invalidations},
          {Limit::invalidations, computations_.invalidations_under_way()},
          {Limit::blobs_reserved_per_connection, blobs},
          {Limit::reserved_bytes_per_connection, reserved},
          {Limit::reserved_bytes_per_uid, blobs_.reserved_bytes_most()},
          {Limit::pinned_bytes_per_connection, catalog_.store().usage().pinned_most_bytes}};
}

protocol::Statistics Reports::statistics(Time now) const {
  const Counters& counters = context_.counters;
  const Totals readers = totals();
  const RecordStore::Usage usage = catalog_.store().usage();
  protocol::Statistics statistics;
  statistics.fields = status(now).fields;
  const auto add = [&](const char* name, protocol::Number number) { statistics.fields.emplace_back(name, std::move(number)); };
  add("epoch", context_.settings.epoch);
  add("hits_answered", counters.hits);
  add("hits_of_readers", readers.reader_hits);
  add("stale_answers", counters.stale_answers);
  add("waiters_served", counters.waiters_served);
  add("leases_granted", counters.grants);
  for (const protocol::LeaseCause cause : {protocol::LeaseCause::abandoned, protocol::LeaseCause::holder_died,
                                           protocol::LeaseCause::limit_passed, protocol::LeaseCause::not_taken_up})
    add(("regrants_" + std::string(name_of(cause))).c_str(), counters.grants_by_cause[static_cast<std::size_t>(cause)]);
  add("leases_queued", counters.grants_by_cause[static_cast<std::size_t>(protocol::LeaseCause::queued)]);  // by keys that waited for their turn
  for (const protocol::LeaseCause cause : {protocol::LeaseCause::stale, protocol::LeaseCause::ahead})
    add(("refreshes_" + std::string(name_of(cause))).c_str(), counters.grants_by_cause[static_cast<std::size_t>(cause)]);
  add("holder_deaths", counters.holder_deaths);
  add("detached_leases", std::uint64_t{computations_.leases().all().size() - computations_.leases().live()});
  add("detached_publishes", counters.detached_publishes);
  add("puts", counters.puts);
  add("failures", counters.failures);
  add("cancellations", counters.cancellations);
  add("invalidations", counters.invalidations);
  add("soft_invalidations", counters.soft_invalidations);
  add("dependency_edges", std::uint64_t{directory_.dependencies().edges()});
  add("dependants_made_stale", counters.dependants_made_stale);
  add("dependants_dropped", counters.dependants_dropped);
  add("stored_outdated", counters.stored_outdated);
  add("overtaken", counters.overtaken);
  add("dependency_evictions", counters.dependency_evictions);
  add("evictions", counters.evictions);
  add("older_versions_dropped", counters.older_versions_dropped);
  add("seconds_evicted", seconds_of(counters.evicted_us));
  add("eviction_looks", counters.eviction_looks);
  add("blob_evictions", counters.blob_evictions);
  add("function_evictions", counters.function_evictions);
  add("reservations_refused", counters.reservations_refused);
  add("expirations", counters.expirations);
  add("stored_inline", counters.stored_inline);
  add("not_worth_storing", counters.not_worth_storing);
  add("wait_timeouts", counters.wait_timeouts);
  add("recursions_refused", counters.recursions);
  add("deadlocks_refused", counters.deadlocks);
  add("tokens_refused", counters.tokens_refused);
  add("limits_reached", counters.limits_reached);
  for (const LimitUse& use : limit_uses()) {
    const std::string name(name_of(use.limit));
    add((name + "_most").c_str(), use.most);
    add((name + "_max").c_str(), value_of(use.limit, context_.settings));
    add((name + "_refused").c_str(), counters.refusals_by_limit[static_cast<std::size_t>(use.limit)]);
  }
  add("sessions_most", std::uint64_t{directory_.sessions().live()});
  add("sessions_max", std::uint64_t{sessions_max(context_.settings.sessions, directory_.sessions().places())});
  add("sessions_refused", counters.sessions_refused);
  add("session_bytes_max", std::uint64_t{context_.settings.sessions.bytes_max});
  add("session_entries_max", std::uint64_t{context_.settings.sessions.entries_max});
  add("protocol_errors", counters.protocol_errors);
  add("signals", counters.signals);
  add("signals_delivered", counters.signals_delivered);
  add("resyncs", counters.resyncs);
  add("keys_known", std::uint64_t{directory_.size()});
  add("tags_known", std::uint64_t{directory_.tags().size()});
  add("sessions_made", counters.sessions_made);
  add("sessions_rotated", counters.sessions_rotated);
  add("sessions_ended", counters.sessions_ended);
  add("sessions_expired", counters.sessions_expired);
  add("sessions_evicted", counters.sessions_evicted);
  add("sessions_ending", std::uint64_t{directory_.sessions().ending()});
  add("session_evictions", counters.session_evictions);
  add("fenced_computations", counters.fenced_computations);
  if (context_.disk != nullptr) {
    add("disk_hits", counters.disk_hits);
    add("disk_loads", counters.disk_loads);
    add("disk_misses", counters.disk_misses);
    add("disk_puts", counters.disk_puts);
    add("disk_not_durable", counters.disk_not_durable);
  }
  add("functions_known", std::uint64_t{functions_.all().size()});
  add("retired_bytes", usage.retired_bytes);
  add("retired_records", usage.retired_records);
  add("retired_with_blobs", usage.retired_with_blobs);
  add("pinned_bytes", usage.pinned_bytes);
  const auto most = connections_.all().find(usage.pinned_most_by);
  add("pinned_most_by", usage.pinned_most_bytes == 0       ? std::string()
                        : most == connections_.all().end() ? std::string("a connection that has ended")
                                                           : most->second.description);
  add("retired_of_sessions", usage.retired_of_sessions);
  add("index_slots", usage.index_slots);
  add_turn(statistics.fields, "", context_.longest_turn.ever(), now);
  add_turn(statistics.fields, "_last_hour", context_.longest_turn.in_last_hour(now), now);

  add_functions(statistics, readers, now);
  return statistics;
}

// Functions from the last counter on share it: what readers counted there is in the totals only, and nobody knows whose it is.
void Reports::add_functions(protocol::Statistics& statistics, const Totals& readers, Time now) const {
  struct Row {
    const Function* function;
    bool counted_apart;
    RecordStore::HitTotals seen;  // by readers
    std::uint64_t saved_us() const { return function->saved_us + seen.saved_us; }
  };
  std::vector<Row> rows;
  rows.reserve(functions_.all().size());
  for (const Function& function : functions_.all()) {
    Row& row = rows.emplace_back(Row{&function, function.number + 1 < protocol::counter_functions, {}});
    if (row.counted_apart && function.number < readers.readers.size()) row.seen = readers.readers[function.number];
  }
  const std::size_t shown = std::min(rows.size(), functions_reported_max);
  statistics.truncated = shown < rows.size();
  std::partial_sort(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(shown), rows.end(), [](const Row& a, const Row& b) {
    const auto rank = [](const Row& row) { return std::tuple(row.saved_us(), row.function->computed_us); };
    return rank(a) != rank(b) ? rank(a) > rank(b) : a.function->number < b.function->number;
  });
  rows.resize(shown);
  for (const Row& row : rows) {
    const Function& function = *row.function;
    const FunctionQueue* queue = computations_.queues().find(function.name);
    const auto with_readers = [&](protocol::Number number) { return known_if(row.counted_apart, std::move(number)); };
    protocol::Report report{{"calls", with_readers(function.calls + row.seen.hits)},
                            {"hits", with_readers(function.hits + row.seen.hits)},
                            {"misses", function.misses},
                            {"computations", function.computations},
                            {"computations_avoided", with_readers(function.hits + function.waiters_served + row.seen.hits)},
                            {"duplicates_avoided", function.duplicates_avoided},
                            {"seconds_computed", seconds_of(function.computed_us)},
                            {"seconds_saved", with_readers(seconds_of(row.saved_us()))},
                            {"entries", function.entries},
                            {"bytes", function.bytes},
                            {"running", function.running},
                            {"queued", std::uint64_t{queue == nullptr ? 0 : queue->queued()}},
                            {"max_concurrent", std::uint64_t{computations_.queues().limit_of(function.name)}},
                            {"bytes_max", catalog_.bytes_max_of(function)}};
    add_last_hour(report, context_.recent.of(function.number, now), row.counted_apart);
    statistics.functions.push_back({function.name, std::move(report)});
  }
}

protocol::Listing Reports::list(const protocol::List& request) const {
  protocol::Listing listing;
  const std::string_view function = request.function;
  std::size_t examined = 0;
  std::size_t bytes = 0;
  std::vector<RecordRef> records;        // of the rows that have one,
  std::vector<std::size_t> of_records;  // which these are
  std::string_view last = request.cursor;
  std::string jump;  // where the walk goes on after keys that are of no interest
  const auto visit = [&](const Entry& entry) {
    const std::size_t row_bytes = entry.key.size() + 512;
    if (examined == rows_examined_max || listing.rows.size() == limits::list_rows_max ||
        (!listing.rows.empty() && bytes + row_bytes > reply_bytes_max)) {
      listing.cursor = last;
      return false;
    }
    ++examined;
    last = entry.key;
    if (!function.empty() && function_of(entry.key) != function) {
      jump = next_of_function(entry.key, function);
      return jump.empty();
    }
    if (entry.state() == KeyState::absent || (request.session != 0 && protocol::session_in(entry.key) != request.session)) return true;
    if (entry.value) {
      records.push_back(entry.value->record);
      of_records.push_back(listing.rows.size());
    }
    listing.rows.push_back(row_of(entry, computations_.queues(), context_.now));
    bytes += row_bytes;
    return true;
  };
  do {
    const std::string from = std::exchange(jump, {});
    directory_.walk(last, from, visit);
  } while (!jump.empty());
  if (records.empty()) return listing;
  const std::vector<std::uint32_t> pins = catalog_.store().pins(records);  // all at once: it is a scan
  for (std::size_t i = 0; i < pins.size(); ++i) listing.rows[of_records[i]].pins = pins[i];
  return listing;
}

void Reports::describe(const protocol::Scope& scope, protocol::State& state) const {
  std::size_t bytes = 0;
  const auto add = [&](const Entry& entry) {
    protocol::KeyStateEntry described = state_of(entry);
    bytes += described.key.size() + described.text.size() + 64;
    if (!state.entries.empty() && (state.entries.size() == limits::state_entries_max || bytes > reply_bytes_max)) {
      state.truncated = true;
      return false;
    }
    state.entries.push_back(std::move(described));
    return true;
  };
  switch (scope.kind) {
    case protocol::ScopeKind::key:
      if (const Entry* entry = directory_.find(scope.subject)) {
        add(*entry);
      } else {
        state.entries.push_back({.key = scope.subject, .text = {}});
      }
      break;
    case protocol::ScopeKind::function:
      directory_.walk_function(scope.subject, [&](const Entry& entry) {
        return entry.state() == KeyState::absent || add(entry);
      });
      break;
    case protocol::ScopeKind::session:
      directory_.walk_session(*protocol::session_number_in(scope.subject), [&](const Entry& entry) { return entry.state() == KeyState::absent || add(entry); });
      break;
    case protocol::ScopeKind::everything:
      for (const auto& [counter, lease] : computations_.leases().all())
        if (!lease.detached && !add(*lease.entry)) return;
      computations_.queues().walk_queued(add);
      break;
    case protocol::ScopeKind::tag: break;  // of Invalidate alone
  }
}

protocol::KeyStateEntry Reports::state_of(const Entry& entry) const {
  protocol::KeyStateEntry described;
  described.key = entry.key;
  described.state = entry.state();
  described.version = entry.value ? entry.value->version : 0;
  described.waiting = waiting_on(entry);
  if (entry.queued) described.queue_position = computations_.queues().standing(entry).position;
  if (entry.lease != nullptr) {
    described.fraction = entry.lease->fraction;
    described.text = entry.lease->progress;
  } else if (entry.failure) {
    described.text = entry.failure->text;
  }
  return described;
}

}  // namespace onced::engine
