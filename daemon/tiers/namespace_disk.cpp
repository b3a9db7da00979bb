#include "tiers/namespace_disk.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/segment.hpp>
#include <onced/protocol/session.hpp>

#include "disk/directory.hpp"
#include "engine/key_fields.hpp"
#include "memory/memfd.hpp"
#include "tiers/attributes.hpp"
#include "tiers/audience.hpp"

namespace onced::tiers {
namespace {

constexpr int all_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
// Of a value whose parts were small blobs, so many that they do not fit into a frame: those from here on are blobs again.
constexpr std::size_t blob_again_bytes_min = 4096;

std::uint64_t wall_ms() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

engine::DiskOutcome outcome_of(disk::Store::Outcome outcome) {
  switch (outcome) {
    case disk::Store::Outcome::done: return engine::DiskOutcome::done;
    case disk::Store::Outcome::refused: return engine::DiskOutcome::refused;
    case disk::Store::Outcome::failed: return engine::DiskOutcome::failed;
  }
  return engine::DiskOutcome::failed;
}

// A key that names a session and not which one is of none that there is.
std::uint64_t session_of(std::string_view key) {
  constexpr std::uint64_t nobodys = ~std::uint64_t{0};
  if (!protocol::names_session(key)) return 0;
  const std::uint64_t number = protocol::session_in(key).value_or(nobodys);
  return number == 0 ? nobodys : number;
}

std::string session_label(std::uint64_t number) { return "session:" + std::to_string(number); }

std::string label_text(engine::DiskTier::Label kind, std::string_view name) {
  switch (kind) {
    case engine::DiskTier::Label::function: return "function:" + std::string(name);
    case engine::DiskTier::Label::tag: return "tag:" + std::string(name);
    case engine::DiskTier::Label::family: return "family:" + std::string(name);
    case engine::DiskTier::Label::everything: break;
  }
  return {};
}

// Whether all that a value was computed from is there as it was then.
Result<bool> has_its_upstreams(std::string_view attributes, const disk::Tier::Look& look) {
  const auto own = decode_attributes(attributes);
  if (!own) return true;  // whoever loads it says what is wrong with it
  for (const engine::DiskUpstream& upstream : own->upstreams) {
    const auto found = look(upstream.key);
    if (!found) return found.error();
    if (!*found || (*found)->facts.version != upstream.identity.version) return false;
    const auto its = decode_attributes((*found)->attributes);
    if (!its || its->epoch != upstream.identity.epoch) return false;
  }
  return true;
}

// What is left of its times, as of now: those of the store are points in time. False: nothing.
bool set_times(engine::DiskValue& value, const disk::ValueFacts& facts, std::uint64_t now_ms) {
  value.age_ms = now_ms - std::min(now_ms, facts.stored_ms);
  value.life.early_ms = facts.early_ms;
  value.life.grace_ms = facts.grace_ms;
  if (facts.fresh_until_ms == disk::never_ms) return true;
  value.life.fresh_ms = facts.fresh_until_ms - std::min(facts.fresh_until_ms, now_ms);
  if (value.life.fresh_ms == 0) value.life.grace_ms = static_cast<std::uint32_t>(facts.usable_until_ms() - std::min(facts.usable_until_ms(), now_ms));
  return facts.usable_until_ms() > now_ms;
}

// New memory of a size, filled from its beginning on by write(): a store through a fresh mapping takes a page fault for every page, which the kernel
// fills with zeros first (1 MB: 1.8 times as long). seal() when it is full.
class NewMemory {
 public:
  explicit NewMemory(std::uint64_t bytes) : bytes_(bytes), descriptor_(memory::create_memfd("onced-blob")) {
    is_good_ = descriptor_ && ::ftruncate(descriptor_.get(), static_cast<off_t>(bytes)) == 0 && ::fchmod(descriptor_.get(), 0) == 0;
  }

  // False: the kernel gives none.
  bool is_good() const { return is_good_; }
  std::uint64_t size() const { return bytes_; }
  bool append(std::span<const std::byte> bytes) {
    while (is_good_ && !bytes.empty()) {
      const ssize_t n = ::write(descriptor_.get(), bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      is_good_ = n > 0;
      if (is_good_) bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
    return is_good_;
  }
  // No descriptor: it cannot be sealed.
  memory::FileDescriptor seal() {
    if (!is_good_ || ::fcntl(descriptor_.get(), F_ADD_SEALS, all_seals) != 0) return {};
    return std::move(descriptor_);
  }

 private:
  std::uint64_t bytes_;
  memory::FileDescriptor descriptor_;
  bool is_good_ = false;
};

}  // namespace

bool may_be_store(const std::string& directory) {
  const auto files = disk::open_posix_files(directory);
  return files && disk::may_be_store(**files);
}

// A published blob as it is written: nobody can change it any more.
class NamespaceDisk::MappedBlob {
 public:
  MappedBlob(std::shared_ptr<const memory::FileDescriptor> descriptor, std::uint64_t bytes, std::shared_ptr<Box> box)
      : descriptor_(std::move(descriptor)), bytes_(bytes), box_(std::move(box)) {
    void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, descriptor_->get(), 0);
    at_ = at == MAP_FAILED ? nullptr : at;
  }
  MappedBlob(const MappedBlob&) = delete;
  MappedBlob& operator=(const MappedBlob&) = delete;
  ~MappedBlob() {
    if (at_ != nullptr) ::munmap(at_, bytes_);
    box_->give_back(std::move(descriptor_));
  }
  std::span<const std::byte> bytes() const {
    return at_ == nullptr ? std::span<const std::byte>() : std::span(static_cast<const std::byte*>(at_), bytes_);
  }

 private:
  std::shared_ptr<const memory::FileDescriptor> descriptor_;
  std::uint64_t bytes_;
  std::shared_ptr<Box> box_;
  void* at_ = nullptr;
};

// What a load has read, as the engine gets it. Borrows the blob store, which is that of the engine.
class NamespaceDisk::Brought final : public engine::BroughtParts {
 public:
  Brought(memory::MemfdBlobStore& blobs, std::vector<ReadPart> read) : blobs_(blobs), read_(std::move(read)) {}

  ~Brought() override { discard(blobs_, read_); }  // those that were not adopted

  std::size_t blobs() const override { return read_.size(); }
  Result<void> place(std::vector<protocol::Part>& parts) override {
    std::vector<engine::BlobId> made;
    for (ReadPart& one : read_) {
      const auto blob = one.is_file ? blobs_.adopt_file(std::move(one.memory), one.bytes) : blobs_.adopt(std::move(one.memory), one.bytes);
      if (!blob) {
        for (const engine::BlobId other : made) blobs_.release(other);
        return blob.error();
      }
      made.push_back(*blob);
    }
    for (std::size_t i = 0; i < made.size(); ++i) parts[read_[i].number].blob = static_cast<std::uint64_t>(made[i]);
    return {};
  }

 private:
  memory::MemfdBlobStore& blobs_;
  std::vector<ReadPart> read_;
};

// A load on its way: a reader's thread fills it, and posts what has become of it.
class NamespaceDisk::Loading final : public disk::PartSink {
 public:
  Loading(engine::DiskTicket ticket, std::uint64_t generation, bool maps_files) : ticket_(ticket), generation_(generation), maps_files_(maps_files) {}

  // disk::PartSink
  bool begin(std::size_t part, std::uint64_t bytes) override {
    forget(part);
    return bytes <= limits::part_bytes_max && memory_.emplace_back(part, NewMemory(bytes)).second.is_good();
  }
  // The thread's own, and warm: what is read into it is written on from the processor's cache.
  std::span<std::byte> room(std::size_t bytes) override { return disk::thread_buffer(bytes); }
  bool filled(std::span<const std::byte> piece) override { return memory_.back().second.append(piece); }
  bool takes_files() const override { return maps_files_; }
  void take_file(std::size_t part, std::uint64_t bytes, int descriptor) override {
    forget(part);
    files_.push_back({part, bytes, memory::FileDescriptor(descriptor), true});
  }

  Letter letter(Result<std::optional<disk::Store::Loaded>> loaded) {
    Letter letter{.generation = generation_, .event = engine::DiskLoaded{.ticket = ticket_}};
    auto& event = std::get<engine::DiskLoaded>(letter.event);
    if (!loaded) {
      event.problem = loaded.error().text;
    } else if (*loaded) {
      event.value = value_of(**loaded);
      letter.facts = (*loaded)->facts;
      if (!event.value) event.problem = "its attributes are of another version of onced";
      else seal(letter, *event.value, event.problem);
      if (!event.problem.empty()) event.value.reset();
    }
    return letter;
  }

 private:
  void forget(std::size_t part) {
    std::erase_if(memory_, [&](const auto& one) { return one.first == part; });
    std::erase_if(files_, [&](const ReadPart& one) { return one.number == part; });
  }

  std::optional<engine::DiskValue> value_of(disk::Store::Loaded& loaded) {
    auto attributes = decode_attributes(loaded.attributes);
    if (!attributes) return std::nullopt;
    const disk::ValueFacts& facts = loaded.facts;
    engine::DiskValue value;
    value.epoch = attributes->epoch;
    value.version = facts.version;
    value.fresh_until_ms = attributes->fresh_until_ms;
    value.cost_us = facts.cost_us;
    value.was_put = attributes->was_put;
    value.origin = std::move(attributes->origin);
    value.tags = std::move(attributes->tags);
    value.upstreams = std::move(attributes->upstreams);
    std::uint64_t inline_bytes = 0;
    for (const disk::Store::LoadedPart& part : loaded.parts) inline_bytes += part.in_sink ? 0 : part.size;
    for (std::size_t i = 0; i < loaded.parts.size(); ++i) {
      disk::Store::LoadedPart& part = loaded.parts[i];
      protocol::Part& to = value.parts.emplace_back();
      to.name = std::move(part.name);
      to.content_type = std::move(part.type);
      if (inline_bytes > limits::value_bytes_max && !part.in_sink && part.size >= blob_again_bytes_min) {
        if (begin(i, part.size)) static_cast<void>(filled(std::as_bytes(std::span(part.bytes))));  // seal() tells when that fails
        part.in_sink = true;
        inline_bytes -= part.size;
      }
      if (part.in_sink) to.length = part.size;
      else to.bytes = std::move(part.bytes);
    }
    return value;
  }

  void seal(Letter& letter, const engine::DiskValue& value, std::string& problem) {
    for (auto& [part, memory] : memory_) {
      if (part >= value.parts.size() || value.parts[part].length == 0) continue;
      const std::uint64_t bytes = memory.size();
      memory::FileDescriptor sealed = memory.seal();
      if (!sealed) problem = "no memory for a part of " + std::to_string(bytes) + " bytes";
      letter.read.push_back({part, bytes, std::move(sealed), false});
    }
    memory_.clear();
    for (ReadPart& file : files_) letter.read.push_back(std::move(file));
    files_.clear();
  }

  engine::DiskTicket ticket_;
  std::uint64_t generation_;
  bool maps_files_;
  std::vector<std::pair<std::size_t, NewMemory>> memory_;
  std::vector<ReadPart> files_;
};

// ---- its life -------------------------------------------------------------------------------------------------------

Result<std::unique_ptr<NamespaceDisk>> NamespaceDisk::open(DiskOptions options, std::function<void()> ring) {
  auto files = options.files(options.directory);
  if (!files) return files.error();
  disk::StoreOptions of_store;
  of_store.budget_bytes = options.budget_bytes;
  of_store.say = [say = options.say, directory = options.directory](const std::string& text) { say(directory + ": " + text); };
  of_store.random = [](std::span<std::byte> into) {
    if (::getrandom(into.data(), into.size(), 0) != static_cast<ssize_t>(into.size())) std::abort();  // of a few bytes: never
  };
  of_store.session_of = session_of;
  of_store.name_of = [](std::string_view key) { return engine::display(key); };
  auto store = disk::Store::open(std::move(*files), std::move(of_store), wall_ms());
  if (!store) return Error{store.error().code, options.directory + ": " + store.error().text};
  if (!options.tier.elapsed_ms) {
    options.tier.elapsed_ms = [begin = std::chrono::steady_clock::now()] {
      return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin).count());
    };
  }
  auto tier = std::make_unique<disk::Tier>(std::move(*store), options.tier);
  return std::unique_ptr<NamespaceDisk>(new NamespaceDisk(std::move(tier), std::move(options.directory), options.map_files, std::move(ring)));
}

NamespaceDisk::NamespaceDisk(std::unique_ptr<disk::Tier> tier, std::string directory, bool map_files, std::function<void()> ring)
    : box_(std::make_shared<Box>(std::move(ring))), tier_(std::move(tier)), maintenance_(*tier_), directory_(std::move(directory)), map_files_(map_files) {}

NamespaceDisk::~NamespaceDisk() { stop(std::chrono::milliseconds(0)); }

engine::SessionsFound NamespaceDisk::attach(memory::MemfdBlobStore& blobs) {
  blobs_ = &blobs;
  numbers_from_ = std::max(numbers_from_, tier_->store().session_numbers_below());
  engine::SessionsFound found{.numbers_from = numbers_from_};
  if (!std::exchange(has_sessions_, false)) return found;
  const std::uint64_t now_ms = tier_->now_ms();
  for (const disk::SessionFacts& facts : tier_->store().sessions()) {
    engine::DiskSession& session = found.sessions.emplace_back();
    session.number = facts.number;
    session.generation = facts.generation;
    session.digest.assign(reinterpret_cast<const char*>(facts.digest.data()), facts.digest.size());
    session.age_ms = now_ms - std::min(now_ms, facts.made_ms);
    session.idle_for_ms = facts.idle_for_ms(now_ms);
    session.idle_ttl_ms = facts.idle_ms;
    if (facts.ends_ms != disk::never_ms) session.left_ms = facts.ends_ms - std::min(facts.ends_ms, now_ms);
  }
  return found;
}

void NamespaceDisk::detach() {
  blobs_ = nullptr;
  ++generation_;
}

void NamespaceDisk::clear(std::function<void(bool)> told) {
  has_sessions_ = false;
  clearing_->under_way.fetch_add(1, std::memory_order_relaxed);
  // What is asked for first is told first, by the same thread.
  auto sessions_ended = std::make_shared<bool>(false);
  tier_->end_session(0, [sessions_ended](disk::Store::Outcome outcome) { *sessions_ended = outcome == disk::Store::Outcome::done; });
  tier_->clear([clearing = clearing_, sessions_ended, told = std::move(told)](disk::Store::Outcome outcome) {
    const bool durable = outcome == disk::Store::Outcome::done && *sessions_ended;
    if (!durable) clearing->owed.store(true, std::memory_order_relaxed);
    clearing->under_way.fetch_sub(1, std::memory_order_release);
    told(durable);
  });
}

bool NamespaceDisk::is_cleared() {
  if (clearing_->under_way.load(std::memory_order_acquire) > 0) return false;
  if (!clearing_->owed.load(std::memory_order_relaxed)) return true;
  if (tier_->store().degraded()) return false;  // it leaves that state with what it owes written (Store::recover())
  clearing_->owed.store(false, std::memory_order_relaxed);
  return true;
}

std::optional<engine::AccessRule> NamespaceDisk::audience_before() const {
  const disk::Store& store = tier_->store();
  if (store.was_new()) return std::nullopt;
  return decode_audience(store.audience_before().value_or(std::string())).value_or(engine::AccessRule{});
}

void NamespaceDisk::keep_audience(const engine::AccessRule& rule) { tier_->keep_audience(encode(rule), {}); }

void NamespaceDisk::stop(std::chrono::milliseconds patience) {
  if (tier_ == nullptr) return;
  maintenance_.ask_to_stop();
  tier_->stop(patience);
  maintenance_.stop(patience);
  box_->close();
}

// What a load has read that nobody gets.
void NamespaceDisk::discard(memory::MemfdBlobStore& blobs, std::vector<ReadPart>& read) {
  for (ReadPart& one : read) blobs.discard(std::move(one.memory), one.bytes, one.is_file);
}

std::vector<engine::Event> NamespaceDisk::take(std::size_t max) {
  std::vector<engine::Event> events;
  for (Letter& letter : box_->take(max)) {
    if (letter.generation != generation_ || blobs_ == nullptr) {
      if (blobs_ != nullptr) discard(*blobs_, letter.read);
      continue;
    }
    if (auto* written = std::get_if<engine::DiskWritten>(&letter.event)) {
      events.emplace_back(*written);
      continue;
    }
    auto& loaded = std::get<engine::DiskLoaded>(letter.event);
    if (loaded.value && !set_times(*loaded.value, letter.facts, tier_->now_ms())) loaded.value.reset();
    if (!loaded.value) discard(*blobs_, letter.read);
    else if (!letter.read.empty()) loaded.value->brought = std::make_shared<Brought>(*blobs_, std::move(letter.read));
    events.emplace_back(std::move(loaded));
  }
  return events;
}

// ---- engine::DiskTier -----------------------------------------------------------------------------------------------

disk::Tier::Written NamespaceDisk::tell(engine::DiskTicket ticket) {
  if (ticket == engine::DiskTicket{}) return {};
  return [box = box_, ticket, generation = generation_](disk::Store::Outcome outcome) {
    box->post({.generation = generation, .event = engine::DiskWritten{ticket, outcome_of(outcome)}});
  };
}

std::optional<disk::PartInput> NamespaceDisk::input_of(
    const protocol::Part& part, const std::shared_ptr<const std::vector<protocol::Part>>& parts,
    std::vector<std::pair<std::uint64_t, std::shared_ptr<const MappedBlob>>>& mapped) const {
  if (part.blob == 0) return disk::PartInput{part.name, part.content_type, std::as_bytes(std::span(part.bytes)), parts};
  auto at = std::find_if(mapped.begin(), mapped.end(), [&](const auto& one) { return one.first == part.blob; });
  if (at == mapped.end()) {
    const engine::BlobId blob{part.blob};
    at = mapped.insert(mapped.end(), {part.blob, std::make_shared<const MappedBlob>(blobs_->descriptor(blob), blobs_->size(blob), box_)});
  }
  if (at->second->bytes().empty()) return std::nullopt;
  return disk::PartInput{part.name, part.content_type, at->second->bytes().subspan(part.offset, part.length), at->second};
}

void NamespaceDisk::put(engine::DiskTicket ticket, const engine::DiskImage& image, std::shared_ptr<const std::vector<protocol::Part>> parts,
                        bool durable) {
  const std::uint64_t now_ms = tier_->now_ms();
  const disk::Store& store = tier_->store();
  disk::ValueInput value;
  value.key = image.key;
  value.facts.version = image.version;
  value.facts.cost_us = image.cost_us;
  value.facts.stored_ms = now_ms;
  if (image.life.fresh_ms != protocol::as_configured) value.facts.fresh_until_ms = now_ms + image.life.fresh_ms;
  value.facts.early_ms = image.life.early_ms;
  value.facts.grace_ms = image.life.grace_ms;
  value.facts.merit = image.merit;
  value.labels.push_back(store.label_of(label_text(Label::function, engine::function_of(image.key))));
  value.labels.push_back(store.label_of(label_text(Label::family, image.family)));
  if (const std::uint64_t session = session_of(image.key); session != 0) value.labels.push_back(store.label_of(session_label(session)));
  for (const std::string& tag : *image.tags) value.labels.push_back(store.label_of(label_text(Label::tag, tag)));
  value.attributes = encode({.epoch = image.epoch, .fresh_until_ms = image.fresh_until_ms, .was_put = image.was_put,
                             .origin = std::string(image.origin), .tags = *image.tags,
                             .upstreams = image.upstreams != nullptr ? *image.upstreams : std::vector<engine::DiskUpstream>()});
  std::vector<std::pair<std::uint64_t, std::shared_ptr<const MappedBlob>>> mapped;
  for (const protocol::Part& part : *parts) {
    auto input = input_of(part, parts, mapped);
    if (!input) {  // no address space for it: what is there is of before
      return tier_->drop(std::move(value.key), [written = tell(ticket)](disk::Store::Outcome outcome) {
        if (written) written(outcome == disk::Store::Outcome::done ? disk::Store::Outcome::refused : outcome);
      });
    }
    value.parts.push_back(std::move(*input));
  }
  tier_->put(std::move(value), durable, tell(ticket));
}

void NamespaceDisk::drop(engine::DiskTicket ticket, std::string_view key) { tier_->drop(std::string(key), tell(ticket)); }

void NamespaceDisk::drop_label(engine::DiskTicket ticket, Label kind, std::string_view name) {
  if (kind == Label::everything) return tier_->clear(tell(ticket));
  tier_->drop_label(tier_->store().label_of(label_text(kind, name)), tell(ticket));
}

bool NamespaceDisk::may_have(std::string_view key) const { return tier_->may_have(key); }

bool NamespaceDisk::load(engine::DiskTicket ticket, std::string_view key) {
  if (!is_cleared()) return false;
  const auto loading = std::make_shared<Loading>(ticket, generation_, map_files_);  // of a session none is mapped: Store::load()
  return tier_->load(
      std::string(key), loading, [loading, box = box_](Result<std::optional<disk::Store::Loaded>> loaded) { box->post(loading->letter(std::move(loaded))); },
      [](const disk::ValueFacts&, std::string_view attributes, const disk::Tier::Look& look) { return has_its_upstreams(attributes, look); });
}

void NamespaceDisk::set_merit(std::string_view key, float merit) { tier_->store().set_merit(key, merit); }

void NamespaceDisk::keep_session(engine::DiskTicket ticket, const engine::DiskSession& session) {
  const std::uint64_t now_ms = tier_->now_ms();
  disk::SessionFacts facts{.number = session.number, .generation = session.generation, .idle_ms = session.idle_ttl_ms};
  ONCED_ASSERT(session.digest.size() == facts.digest.size());
  std::memcpy(facts.digest.data(), session.digest.data(), facts.digest.size());
  facts.made_ms = now_ms - std::min(now_ms, session.age_ms);
  facts.used_ms = now_ms - std::min(now_ms, session.idle_for_ms);
  if (session.left_ms != protocol::as_configured) facts.ends_ms = now_ms + session.left_ms;
  numbers_from_ = std::max(numbers_from_, session.number + 1);
  tier_->keep_session(facts, tell(ticket));
}

void NamespaceDisk::use_session(std::uint64_t number) { tier_->use_session(number); }

void NamespaceDisk::end_session(engine::DiskTicket ticket, std::uint64_t number) { tier_->end_session(number, tell(ticket)); }

void NamespaceDisk::drop_in_session(engine::DiskTicket ticket, std::uint64_t number) {
  tier_->drop_label(tier_->store().label_of(session_label(number)), tell(ticket));
}

engine::DiskTier::Usage NamespaceDisk::usage() const {
  const disk::Store::Status status = tier_->store().status();
  return {.sessions = status.sessions, .values = status.values, .used_bytes = status.used_bytes, .budget_bytes = status.budget_bytes, .queued_bytes = tier_->queued_bytes(),
          .evicted = status.evicted, .damaged = status.damaged, .older_bytes = status.older_bytes, .left_out = tier_->left_out(), .degraded = status.degraded};
}

protocol::DiskReport NamespaceDisk::report(protocol::DiskAction action) {
  if (action == protocol::DiskAction::verify) maintenance_.begin_verify();
  if (action == protocol::DiskAction::compact) maintenance_.begin_compact();
  if (action == protocol::DiskAction::stop) maintenance_.ask_to_stop();
  const disk::Store::Status status = tier_->store().status();
  protocol::DiskReport report;
  const auto add = [&](const char* name, protocol::Number number) { report.fields.emplace_back(name, std::move(number)); };
  add("path", directory_);
  add("values", std::uint64_t{status.values});
  add("sessions", std::uint64_t{status.sessions});
  add("live_bytes", status.live_bytes);
  add("used_bytes", status.used_bytes);
  add("budget_bytes", status.budget_bytes);
  add("segments", std::uint64_t{status.segments});
  add("queued_bytes", std::uint64_t{tier_->queued_bytes()});
  add("evicted", status.evicted);
  add("left_out", tier_->left_out());
  add("damaged", status.damaged);
  add("aside_bytes", status.aside_bytes);
  add("older_bytes", status.older_bytes);
  add("degraded", std::uint64_t{status.degraded ? 1U : 0U});
  add("degraded_why", status.degraded ? tier_->store().degraded_text() : std::string());
  maintenance_.report(report.fields);
  return report;
}

}  // namespace onced::tiers
