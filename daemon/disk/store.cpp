// Opening, writing and failing; store_reading.cpp loads and verifies, store_room.cpp makes room, store_sessions.cpp is about sessions.
#include "disk/store.hpp"

#include <algorithm>
#include <utility>

#include "disk/sealed_value.hpp"

namespace onced::disk {
namespace {

constexpr std::uint64_t budget_min = 1 << 20;
constexpr std::uint64_t segment_bytes_min = 4 << 10;
constexpr std::uint64_t segment_bytes_largest = 32 << 20;

StoreOptions completed(StoreOptions options) {
  options.budget_bytes = std::max(options.budget_bytes, budget_min);
  if (options.segment_bytes == 0) options.segment_bytes = std::clamp<std::uint64_t>(options.budget_bytes / 64, 1 << 20, segment_bytes_largest);
  options.segment_bytes = std::clamp<std::uint64_t>(options.segment_bytes, segment_bytes_min, options.budget_bytes / 8);
  return options;
}

IndexEntry entry_of(const IndexRow& row, std::uint32_t segment) {
  return {.sequence = row.sequence, .usable_until_ms = row.usable_until_ms, .segment = segment, .offset = row.offset,
          .length = row.length, .merit = row.merit, .has_files = row.files != 0, .is_sealed = row.kind == RecordKind::sealed};
}

}  // namespace

Store::Store(std::unique_ptr<FileSystem> files, StoreOptions options, OpenDirectory directory)
    : files_(std::move(files)), options_(std::move(options)), lock_(std::move(directory.lock)), seed_(directory.seed),
      aside_(*files_, options_.budget_bytes / 16, options_.say),
      log_(*files_, seed_, {.segment_bytes = options_.segment_bytes}, aside_, options_.say),
      parts_(*files_),
      sessions_(*files_, seed_, options_.random, options_.say),
      audience_(*files_, seed_, options_.say),
      was_new_(directory.is_new) {}

Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::open(std::unique_ptr<FileSystem> files, StoreOptions options, std::uint64_t wall_ms) {
  options = completed(std::move(options));
  auto directory = open_directory(*files, options.random, options.say);
  if (!directory) return directory.error();
  std::unique_ptr<Store> store(new Store(std::move(files), std::move(options), std::move(*directory)));
  store->aside_.open();
  if (const auto opened = store->audience_.open(); !opened) return opened.error();
  if (const auto opened = store->open_log(wall_ms); !opened) return opened.error();
  if (const auto opened = store->open_parts(); !opened) return opened.error();
  store->keep_older_within_budget();
  return store;
}

Result<void> Store::open_log(std::uint64_t wall_ms) {
  std::uint64_t everything_void = 0;
  const auto recovered = log_.open([&](std::uint32_t segment, const IndexRow& row) {
    switch (row.kind) {
      case RecordKind::value:
      case RecordKind::sealed:
        index_.put(row.digest, entry_of(row, segment), PartFiles{row.file_id, row.file_bytes, row.files});
        break;
      case RecordKind::tombstone: index_.erase(row.digest); break;
      case RecordKind::fence:
        if (row.digest.low == 0) everything_void = std::max(everything_void, row.sequence);
        else fences_[row.digest.low] = std::max(fences_[row.digest.low], row.sequence);
        break;
      case RecordKind::mark: break;
    }
  });
  if (!recovered) return recovered.error();
  damaged_ += recovered->damaged;
  const auto newest_of_sessions = sessions_.open();
  if (!newest_of_sessions) return newest_of_sessions.error();
  opened_ms_ = std::max({wall_ms, recovered->newest_time_ms, *newest_of_sessions});
  log_.note_time(opened_ms_);
  if (const auto begun = sessions_.begin(opened_ms_); !begun) return begun;
  everything_void = std::max(everything_void, recovered->void_before);
  std::vector<Digest> old;
  index_.each([&](const Digest& digest, const IndexEntry& entry) {
    const auto is_orphan = [&] { return entry.is_sealed && !sessions_.has(digest.high); };
    if (entry.sequence < everything_void || entry.usable_until_ms <= opened_ms_ || is_orphan()) old.push_back(digest);
  });
  for (const Digest& digest : old) index_.erase(digest);
  return {};
}

// Part files and the records that name them: what has no partner goes.
Result<void> Store::open_parts() {
  std::unordered_map<std::uint64_t, std::uint32_t> wanted;
  index_.each_with_files([&](const Digest&, const PartFiles& files) { wanted[files.id] = files.count; });
  const auto swept = parts_.sweep([&](std::uint64_t id) {
    const auto found = wanted.find(id);
    return found == wanted.end() ? 0U : found->second;
  });
  if (!swept) return swept.error();
  std::vector<Digest> incomplete;
  index_.each_with_files([&](const Digest& digest, const PartFiles& files) {
    const auto found = swept->found.find(files.id);
    if (found == swept->found.end() || found->second != files.count) incomplete.push_back(digest);
  });
  for (const Digest& digest : incomplete) erase(digest);
  if (!incomplete.empty()) {  // an eviction before a crash does that too
    options_.say(std::to_string(incomplete.size()) + " values on disk have lost their part files, and are gone");
  }
  return {};
}

// One that was full is as large as what this may have in all.
void Store::keep_older_within_budget() {
  const std::uint64_t used = used_bytes();
  if (used > options_.budget_bytes) aside_.make_room(used - options_.budget_bytes);
  used_.store(used_bytes(), std::memory_order_relaxed);
}

std::vector<Store::Outcome> Store::write(std::span<const Operation> operations, bool stable, std::uint64_t now_ms) {
  log_.note_time(now_ms);
  std::vector<Outcome> outcomes(operations.size(), Outcome::failed);
  struct Asked {  // of the log and of the file of sessions, up to and with each operation
    std::uint64_t sequence = 0;
    std::uint64_t session_changes = 0;
  };
  std::vector<Asked> asked(operations.size());
  std::size_t applied = 0;
  std::optional<Error> error;
  drops_in_batch_ = false;
  if (degraded()) error = Error{ErrorCode::unavailable, degraded_text()};
  for (std::size_t i = 0; i < operations.size() && !error; ++i) {
    stable = stable || !(std::holds_alternative<Put>(operations[i]) || std::holds_alternative<UseSession>(operations[i]));
    const auto outcome = std::visit([&](const auto& operation) { return apply(operation, now_ms); }, operations[i]);
    if (outcome) outcomes[i] = *outcome;
    else error = outcome.error();
    asked[i] = {log_.next_sequence() - 1, sessions_.changes()};
    ++applied;
  }
  if (!error) {
    const auto settled = stable || drops_in_batch_ ? sync_all(now_ms) : settle();
    if (settled) return outcomes;
    error = settled.error();
  }
  if (!degraded()) fail(*error);
  // Each by itself: what is on stable storage is so, whatever has failed behind it.
  const auto is_stable = [&](std::size_t i) {
    const Operation& operation = operations[i];
    if (std::holds_alternative<KeepAudience>(operation)) return true;  // it is not done before
    if (std::holds_alternative<EndSession>(operation)) return asked[i].session_changes <= sessions_.written_changes();
    const Put* const put = std::get_if<Put>(&operation);
    const Drop* const drop = std::get_if<Drop>(&operation);  // one behind the end of its session wrote nothing itself
    const std::string_view key = put != nullptr ? std::string_view(put->value.key) : drop != nullptr ? std::string_view(drop->key) : std::string_view();
    const bool with_sessions = is_of_session(operation) || (!key.empty() && options_.session_of(key) != 0);
    if (with_sessions && asked[i].session_changes > sessions_.stable_changes()) return false;
    return is_of_session(operation) || asked[i].sequence <= log_.stable_sequence();
  };
  for (std::size_t i = 0; i < operations.size(); ++i) {
    if (outcomes[i] != Outcome::failed && is_stable(i)) continue;
    outcomes[i] = Outcome::failed;
    if (is_held(operations[i])) {
      if (i >= applied) hold_in_memory(operations[i]);
      continue;
    }
    // What it replaces or drops is dropped at least in memory, and on the disk as soon as that is possible.
    const auto owe_key = [&](std::string_view key) {
      if (const auto digest = place_of(key)) owe(*digest);
    };
    if (const Put* put = std::get_if<Put>(&operations[i])) owe_key(put->value.key);
    if (const Drop* drop = std::get_if<Drop>(&operations[i])) owe_key(drop->key);
    const DropLabel* label = std::get_if<DropLabel>(&operations[i]);
    if (label == nullptr && !std::holds_alternative<Clear>(operations[i])) continue;
    owe_fence(label == nullptr ? 0 : label->label);
  }
  return outcomes;
}

Result<Store::Outcome> Store::apply(const Put& put, std::uint64_t now_ms) {
  const ValueInput& value = put.value;
  const std::optional<Digest> place_in_log = place_of(value.key);
  if (!place_in_log) return Outcome::refused;  // with its session went whatever the key had
  const Digest digest = *place_in_log;
  const std::uint64_t session = options_.session_of(value.key);
  std::optional<SessionKey> own_key;
  SealedHead head;
  if (session != 0) {
    const std::optional<SessionKey> key = sessions_.key_of(session);
    ONCED_ASSERT(key.has_value());  // only the writer ends one
    options_.random(head.salt);
    own_key = record_key(*key, head.salt);
  }
  std::vector<Digest> checks;
  PartFiles files;
  files.id = log_.next_sequence();
  for (const PartInput& part : value.parts) {
    if (part.bytes.size() < options_.body.file_bytes_min) continue;
    files.bytes += part.bytes.size();
    ++files.count;
  }
  std::uint64_t inline_bytes = 0;
  for (const PartInput& part : value.parts) {
    inline_bytes += part.name.size() + part.type.size() + 48 + (part.bytes.size() < options_.body.file_bytes_min ? part.bytes.size() : 0);
  }
  const std::uint64_t need = inline_bytes + value.key.size() + value.attributes.size() + value.labels.size() * sizeof(Label) + 640 +
                             (files.count != 0 ? files.charged() : 0);
  const bool expired = value.facts.usable_until_ms() <= now_ms;
  Outcome room = Outcome::done;
  if (!expired) {
    const auto made = make_room(need, now_ms);
    if (!made) return made.error();
    room = *made;
  }
  if (expired || room == Outcome::refused) {  // the older one must not stay in its place
    if (const auto dropped = apply(Drop{value.key}, now_ms); !dropped) return dropped.error();
    drops_in_batch_ = true;
    return room;  // of what has expired nothing is left to keep: whoever asks, after a crash too, finds what they would find without one
  }
  files.id = log_.next_sequence();  // making room may have used some
  std::uint32_t number = 0;
  for (const PartInput& part : value.parts) {
    if (part.bytes.size() < options_.body.file_bytes_min) continue;
    const auto written = parts_.write(files.id, number++, part.bytes, own_key ? &*own_key : nullptr);
    if (!written) {
      static_cast<void>(parts_.remove({files.id, 0, static_cast<std::uint16_t>(number)}));
      return written.error();
    }
    checks.push_back(*written);
  }
  const auto without_files = [&](const Error& error) {
    static_cast<void>(parts_.remove(files));
    return error;
  };
  if (const auto synced = parts_.sync_directories(); !synced) return without_files(synced.error());
  std::vector<std::byte> body = encode_body(value, options_.body, files.id, checks);
  IndexRow row;
  row.usable_until_ms = value.facts.usable_until_ms();
  row.file_bytes = files.bytes;
  row.file_id = files.count != 0 ? files.id : 0;
  row.files = files.count;
  row.merit = value.facts.merit;
  row.kind = session != 0 ? RecordKind::sealed : RecordKind::value;
  if (session != 0) {
    head.session = session;
    head.usable_until_ms = row.usable_until_ms;
    head.file_bytes = row.file_bytes;
    head.file_id = row.file_id;
    head.merit = row.merit;
    head.files = row.files;
    body = seal_body(head, *own_key, body);
  }
  const auto place = log_.add(row.kind, digest, body, row);
  if (!place) return without_files(place.error());
  row.sequence = place->sequence;
  row.offset = place->offset;
  row.length = place->length;
  if (files.count == 0) files.id = 0;
  files.checked = true;
  pending_file_bytes_ += files.count != 0 ? files.charged() : 0;
  pending_.push_back({digest, entry_of(row, place->segment), files});
  return Outcome::done;
}

Result<Store::Outcome> Store::apply(const Drop& drop, std::uint64_t now_ms) {
  const std::optional<Digest> digest = place_of(drop.key);
  if (!digest) return Outcome::done;
  if (const auto settled = settle(); !settled) return settled.error();  // what came before it is replaced, not overtaken
  if (const auto made = make_room(bare_record_bytes, now_ms); !made) return made.error();  // it is written where there is none, too
  const auto place = log_.add(RecordKind::tombstone, *digest, {}, {});
  if (!place) return place.error();
  erase(*digest);
  return Outcome::done;
}

Result<Store::Outcome> Store::apply(const DropLabel& drop, std::uint64_t now_ms) {
  if (const auto settled = settle(); !settled) return settled.error();
  if (const auto made = make_room(bare_record_bytes, now_ms); !made) return made.error();
  if (const auto added = add_fence(drop.label); !added) return added.error();
  return Outcome::done;
}

Result<void> Store::add_fence(Label label) {
  const auto place = log_.add(RecordKind::fence, Digest{label, 0}, {}, {});
  if (!place) return place.error();
  fence(label, place->sequence);
  return {};
}

// In memory. One for everything says all that those before it do.
void Store::fence(Label label, std::uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  if (label == 0) fences_.clear();
  fences_[label] = sequence;
}

// The fence makes it true; then everything behind it is given back.
Result<Store::Outcome> Store::apply(const Clear&, std::uint64_t now_ms) {
  if (const auto settled = settle(); !settled) return settled.error();
  if (const auto rolled = log_.roll(); !rolled) return rolled.error();
  const auto before = log_.segments();
  if (const auto added = add_fence(0); !added) return added.error();
  erase_all();
  if (const auto synced = sync_all(now_ms); !synced) return synced.error();
  if (const auto removed = remove_segments(before.size()); !removed) return removed.error();
  return Outcome::done;
}

void Store::erase_all() {
  KeyIndex all;  // taken apart without the lock: a million values are a tenth of a second
  {
    const std::lock_guard lock(mutex_);
    std::swap(all, index_);
  }
  std::vector<PartFiles> files;
  std::uint64_t bytes = 0;
  all.each_with_files([&](const Digest&, const PartFiles& each) {
    files.push_back(each);
    bytes += each.charged();
  });
  const std::lock_guard lock(mutex_);
  garbage_.insert(garbage_.end(), files.begin(), files.end());
  garbage_bytes_ += bytes;
}

// The oldest, in which nothing counts.
Result<void> Store::remove_segments(std::size_t count) {
  for (; count != 0; --count) {
    const std::shared_ptr<Segment> segment = log_.oldest();
    if (const auto removed = log_.remove_oldest(); !removed) return removed;
    const std::lock_guard lock(mutex_);
    index_.forget_segment(segment->number);
  }
  used_.store(used_bytes(), std::memory_order_relaxed);
  return {};
}

Result<void> Store::settle() {
  if (const auto flushed = log_.flush(); !flushed) return flushed;
  const std::vector<Pending> settled = std::exchange(pending_, {});
  pending_file_bytes_ = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const Pending& each : settled) {
      if (take_in(each)) unstable_.push_back({each.entry.sequence, each.digest, each.moved_from});
    }
  }
  used_.store(used_bytes(), std::memory_order_relaxed);
  return {};
}

// Under mutex_: its record counts from here on. False: it is a copy of what its key does not have any more.
bool Store::take_in(const Pending& added) {
  if (added.moved_from) {
    const IndexEntry* const present = index_.find(added.digest);
    if (present == nullptr || present->sequence != added.moved_from->sequence) return false;
    index_.put(added.digest, added.entry, added.files);  // its files are the same ones
  } else if (const auto replaced = index_.put(added.digest, added.entry, added.files); replaced && replaced->files) {
    discard(*replaced->files);
  }
  return true;
}

Result<void> Store::sync_all(std::uint64_t now_ms) {
  if (const auto settled = settle(); !settled) return settled;
  // First, for what is synced behind it may be of sessions that are new.
  if (const auto synced = sessions_.sync(); !synced) return synced;
  if (const auto synced = log_.sync(now_ms); !synced) return synced;
  unstable_.clear();
  std::vector<PartFiles> garbage;
  {
    const std::lock_guard lock(mutex_);
    garbage.swap(garbage_);
    garbage_bytes_ = 0;
  }
  for (auto each = garbage.begin(); each != garbage.end(); ++each) {
    const auto removed = parts_.remove(*each);
    if (removed) continue;
    const std::lock_guard lock(mutex_);  // it counts until it is gone
    std::for_each(each, garbage.end(), [this](const PartFiles& files) { discard(files); });
    return removed;
  }
  used_.store(used_bytes(), std::memory_order_relaxed);
  return {};
}

bool Store::sync(std::uint64_t now_ms) {
  if (degraded()) return false;
  const auto synced = sync_all(now_ms);
  if (!synced) fail(synced.error());
  return synced.ok();
}

bool Store::has_unstable() const {
  const std::lock_guard lock(mutex_);
  return !unstable_.empty() || !garbage_.empty() || sessions_.has_unstable();
}

// Under mutex_: files that no record needs any more. They count until they are gone, behind the next sync.
void Store::discard(const PartFiles& files) {
  garbage_.push_back(files);
  garbage_bytes_ += files.charged();
}

void Store::erase(const Digest& digest) {
  const std::lock_guard lock(mutex_);
  if (const auto removed = index_.erase(digest); removed && removed->files) discard(*removed->files);
}

bool Store::erase_if_same(const Digest& digest, const IndexEntry& entry) {
  const std::lock_guard lock(mutex_);
  const IndexEntry* const present = index_.find(digest);
  if (present == nullptr || present->sequence != entry.sequence) return false;
  if (const auto removed = index_.erase(digest); removed->files) discard(*removed->files);
  return true;
}

void Store::owe(const Digest& digest) {
  erase(digest);
  if (owed_.size() < options_.owed_max) owed_.insert(digest);
  else owe_everything_ = true;
}

// More than can be remembered: one for everything.
void Store::owe_fence(Label label) {
  if (owed_fences_.size() >= options_.owed_max && !owed_fences_.contains(label)) label = 0;
  if (label == 0) owed_fences_.clear();
  owed_fences_.insert(label);
  fence(label, log_.next_sequence());  // later records are not older than it
}

// What was written since the last sync counts as lost: a copy is where it was before, anything else is nowhere.
void Store::forget_unstable() {
  for (const Unstable& each : std::exchange(unstable_, {})) {
    if (each.sequence <= log_.stable_sequence()) continue;
    {
      const std::lock_guard lock(mutex_);
      const IndexEntry* const present = index_.find(each.digest);
      if (present == nullptr || present->sequence != each.sequence) continue;
      if (each.moved_from) {
        const PartFiles* const files = index_.files(each.digest);
        index_.put(each.digest, *each.moved_from, files == nullptr ? PartFiles{} : PartFiles(*files));
        continue;
      }
    }
    owe(each.digest);
  }
}

void Store::fail(const Error& error) {
  sessions_.abandon();
  {
    const std::lock_guard lock(mutex_);
    pending_file_bytes_ = 0;
    for (const Pending& each : std::exchange(pending_, {})) {
      // What a segment that came to its end has made stable counts, as a start would find it. Of the others the records may be on the
      // disk or not: their files go when what follows is stable, like those of any value that is void.
      if (each.entry.sequence <= log_.stable_sequence()) take_in(each);
      else if (!each.moved_from && each.files.count != 0) discard(each.files);
    }
  }
  forget_unstable();
  log_.abandon();
  {
    const std::lock_guard lock(mutex_);
    degraded_text_ = error.text;
  }
  degraded_.store(true, std::memory_order_relaxed);
  options_.say("nothing is written to the disk until it works again: " + error.text);
}

std::string Store::degraded_text() const {
  const std::lock_guard lock(mutex_);
  return degraded_text_;
}

bool Store::recover(std::uint64_t now_ms) {
  if (!degraded()) return true;
  if (owe_everything_) owed_fences_.insert(0);
  const std::size_t before = log_.segment_count();
  const auto attempt = [&]() -> Result<void> {
    if (const auto written = sessions_.recover(); !written) return written;
    if (const auto begun = log_.begin(); !begun) return begun;
    for (const Label label : owed_fences_) {
      if (const auto added = add_fence(label); !added) return added;
    }
    for (const Digest& digest : owed_) {
      if (const auto place = log_.add(RecordKind::tombstone, digest, {}, {}); !place) return place.error();
    }
    if (owed_fences_.contains(0)) erase_all();
    if (const auto synced = sync_all(now_ms); !synced) return synced;
    if (owed_fences_.contains(0)) {
      if (const auto removed = remove_segments(before); !removed) return removed;
    }
    return audience_.recover();
  };
  if (const auto done = attempt(); !done) {
    log_.abandon();
    sessions_.abandon();
    const std::lock_guard lock(mutex_);
    degraded_text_ = done.error().text;
    return false;
  }
  owed_.clear();
  owed_fences_.clear();
  owe_everything_ = false;
  degraded_.store(false, std::memory_order_relaxed);
  options_.say("the disk works again");
  return true;
}

Label Store::label_of(std::string_view text) const { return std::max<Label>(1, check_of(bytes_of(text), seed_)); }

bool Store::is_void(const std::vector<Label>& labels, std::uint64_t sequence) const {
  const std::lock_guard lock(mutex_);
  const auto fenced = [&](Label label) {
    const auto found = fences_.find(label);
    return found != fences_.end() && sequence < found->second;
  };
  return fenced(0) || std::any_of(labels.begin(), labels.end(), fenced);
}

std::uint64_t Store::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return log_.bytes() + index_.file_bytes() + pending_file_bytes_ + garbage_bytes_ + aside_.damaged_bytes() + aside_.older_bytes() + sessions_.bytes() + audience_.bytes();
}

Store::Status Store::status() const {
  Status status;
  status.used_bytes = used_.load(std::memory_order_relaxed);
  status.segments = log_.segment_count();
  status.degraded = degraded();
  status.sessions = sessions_.size();
  status.budget_bytes = options_.budget_bytes;
  const std::lock_guard lock(mutex_);
  status.values = index_.size();
  status.live_bytes = index_.record_bytes() + index_.file_bytes();
  status.evicted = evicted_;
  status.damaged = damaged_;
  status.aside_bytes = aside_.damaged_bytes();
  status.older_bytes = aside_.older_bytes();
  return status;
}

}  // namespace onced::disk
