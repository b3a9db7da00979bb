#include "attachment.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/session.hpp>

#include "deadline.hpp"
#include "errors.hpp"
#include "fork_lock.hpp"
#include "part_table.hpp"
#include "value_maker.hpp"

namespace onced::client_detail {

namespace {

constexpr int segment_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr int pin_page_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
// Half of what one thread has: with more retained its hits would soon be copies.
constexpr std::uint32_t retained_pins_max = protocol::pins_per_line / 2;

constexpr int blob_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

// Sealed memory of the right size, mapped: no one can cut it under our feet (SIGBUS).
Result<Mapping> map_sealed(const Descriptor& descriptor, const std::string& name, int seals, std::uint64_t bytes,
                           std::size_t bytes_min, int protection) {
  if (auto sealed = check_sealed(descriptor, name, seals, bytes); !sealed) return sealed.error();
  if (bytes < bytes_min) return malformed(name + ": only " + std::to_string(bytes) + " bytes");
  return map(descriptor, name, bytes, protection, MAP_SHARED);
}

std::string name_of_blob(std::uint64_t blob) { return "large part " + std::to_string(blob); }

// Where a part lies in its blob's memory; nothing when it does not.
std::optional<std::span<const std::byte>> part_within(std::span<const std::byte> whole, const protocol::SegmentReader::PartView& part) {
  if (part.offset > whole.size() || part.length > whole.size() - part.offset) return std::nullopt;
  return whole.subspan(part.offset, part.length);
}

// Of a hit that is not simply fresh. Draws lots among those who read it in its early stretch.
[[gnu::noinline]] Age age_of(const protocol::SegmentReader& reader, const protocol::LookupResult found, RefreshLottery& lottery) {
  if (found.freshness == protocol::Freshness::stale) return found.refreshing ? Age::stale : Age::stale_due;
  const bool due = !found.refreshing && lottery.wins(reader.fresh_left_ms(found.record), found.record->early_ms);
  return due ? Age::early_due : Age::fresh;
}

Look look_of(protocol::LookupOutcome outcome) {
  switch (outcome) {
    case protocol::LookupOutcome::hit: return Look::hit;
    case protocol::LookupOutcome::miss: return Look::miss;
    case protocol::LookupOutcome::dead: return Look::dead;
    case protocol::LookupOutcome::no_pin: return Look::no_pin;
    case protocol::LookupOutcome::unstable: return Look::ask;
    case protocol::LookupOutcome::ended: return Look::ended;
  }
  return Look::ask;
}

}  // namespace

Result<std::unique_ptr<Attachment>> Attachment::make(Handshake handshake, const Settings& settings) {
  ONCED_ASSERT(handshake.descriptors.size() == 2);
  auto segment = map_sealed(handshake.descriptors[0], "segment", segment_seals, handshake.welcome.segment_bytes,
                            sizeof(protocol::SegmentHeader), PROT_READ);
  if (!segment) return segment.error();
  // A child must not touch its parent's pins: it does not even have them.
  auto unforked = hold_off_forks();
  auto pin_page = map_sealed(handshake.descriptors[1], "pin page", pin_page_seals, handshake.welcome.pin_page_bytes,
                             sizeof(protocol::PinPage), PROT_READ | PROT_WRITE);
  if (!pin_page) return pin_page.error();
  madvise(pin_page->address(), pin_page->bytes(), MADV_DONTFORK);
  unforked.unlock();
  const auto* page = static_cast<const protocol::PinPage*>(pin_page->address());
  if (page->magic != protocol::pin_page_magic) return malformed("pin page: no magic number at its start");
  if (page->layout_version != protocol::pin_page_layout_version) {
    return Error{ErrorCode::version_mismatch, "pin page: layout version " + std::to_string(page->layout_version) +
                                                  ", this library knows " +
                                                  std::to_string(protocol::pin_page_layout_version)};
  }
  auto reader = protocol::SegmentReader::open(segment->span());
  if (!reader) return reader.error();
  const auto owner = owner_of(handshake.descriptors[0], "segment");
  if (!owner) return owner.error();
  return std::unique_ptr<Attachment>(
      new Attachment(std::move(*segment), std::move(*pin_page), std::move(*reader), *owner, std::move(handshake), settings));
}

Attachment::Attachment(Mapping segment, Mapping pin_page, protocol::SegmentReader reader, std::uint32_t owner, Handshake handshake,
                       const Settings& settings)
    : process(&Process::here()),
      welcome(std::move(handshake.welcome)),
      segment_(std::move(segment)),
      pin_page_(std::move(pin_page)),
      reader_(std::move(reader)),
      owner_(owner),
      request_timeout_(settings.request_timeout),
      own_line_(process->fenced_by_daemons() && reader_.daemon_fences() ? protocol::LineUse::exclusive_fenced
                                                                        : protocol::LineUse::exclusive),
      page_(*static_cast<protocol::PinPage*>(pin_page_.address())),
      mappings(std::make_shared<MappingCache>(settings.mappings, reader_)),
      channel(std::move(handshake.socket), std::move(handshake.reader), &page_) {}

// Views that Values without a pin hold live on; what nobody views goes now.
Attachment::~Attachment() { mappings->detach(); }

// ---- reading --------------------------------------------------------------------------------------------------------

// Fills `value` from a record that is pinned by `pin`. `ask`: the record is damaged.
[[gnu::always_inline]] inline Look Attachment::view_of(const protocol::RecordHeader* record, std::uint32_t pin, std::uint32_t fork_epoch, Value& value) {
  value.version_ = record->version;
  value.cost_us_ = record->cost_us;
  value.attachment_ = this;
  value.pin_ = pin;
  value.fork_epoch_ = fork_epoch;
  if ((record->flags & protocol::record_plain) == 0) [[unlikely]] return view_parts(record, value);
  return reader_.plain_part(record, value.bytes_, value.content_type_) ? Look::hit : Look::ask;
}

Look Attachment::look_up(std::string_view key, ReaderNode& node, std::optional<Value>& value) {
  if (protocol::names_session(key)) [[unlikely]] return Look::ask;  // no hit without its grant
  return look(node, value, [&](protocol::LineUse use) { return reader_.lookup(key, reader_.hash(key), page_, node.line, use); });
}

Look Attachment::look_up_in_session(std::string_view key, ReaderNode& node, std::optional<Value>& value, const SessionAccess& session) {
  if (session.epoch.load(std::memory_order_relaxed) != welcome.epoch) [[unlikely]] return Look::ask;
  return look(node, value,
              [&](protocol::LineUse use) { return reader_.lookup_in_session(key, reader_.hash(key), page_, node.line, use, session.grant); });
}

template <typename Find>
inline Look Attachment::look(ReaderNode& node, std::optional<Value>& value, Find find) {
  // Acquire: pairs with publish_lines(), which may have run in another thread.
  if (lines_published_.load(std::memory_order_acquire) <= node.line) [[unlikely]] publish_lines(node.line + 1);
  mappings->drop_dead();
  // Before the pin is claimed: a fork in between makes the view older than the fork, and its pin is kept.
  const std::uint32_t fork_epoch = Process::fork_epoch();
  const protocol::LineUse use = node.use == protocol::LineUse::exclusive ? own_line_ : node.use;
  const protocol::LookupResult found = find(use);
  if (found.outcome != protocol::LookupOutcome::hit) [[unlikely]] return look_of(found.outcome);

  Value& view = value.emplace();
  if (found.freshness != protocol::Freshness::fresh) [[unlikely]] view.age_ = age_of(reader_, found, node.lottery);
  const Look look = view_of(found.record, found.pin, fork_epoch, view);
  if (look == Look::hit && !found.copy_only) [[likely]] return look;
  return other_look(look, found, value);
}

// The rest of a look-up whose hit is not simply a view.
[[gnu::noinline]] Look Attachment::other_look(Look look, const protocol::LookupResult found, std::optional<Value>& value) {
  Value& view = *value;
  if (look == Look::unmapped && !found.copy_only) return look;
  if (found.copy_only && look != Look::ask) {
    if (auto own = own_copy(found.record)) {
      forget_view(view);
      own->age_ = view.age_;
      view = std::move(*own);
      protocol::release_pin(page_, found.pin);
      copied_hits.fetch_add(1, std::memory_order_relaxed);
      return Look::copied;
    }
  }
  forget_view(view);
  value.reset();
  protocol::release_pin(page_, found.pin);
  return Look::ask;  // let the daemon say
}

void Attachment::publish_lines(std::uint32_t count) {
  // Seq_cst: the daemon that scans after this thread's first pin knows of its line (PinTable::for_each_pin).
  std::uint32_t in_page = page_.client_lines_used.load(std::memory_order_seq_cst);
  while (in_page < count && !page_.client_lines_used.compare_exchange_weak(in_page, count, std::memory_order_seq_cst)) {
  }
  // After the page: who finds its line here relies on it. Pairs with the load in look_up().
  std::uint32_t known = lines_published_.load(std::memory_order_seq_cst);
  while (known < count && !lines_published_.compare_exchange_weak(known, count, std::memory_order_seq_cst)) {
  }
}

// Of a record that is not plain.
Look Attachment::view_parts(const protocol::RecordHeader* record, Value& value) {
  const auto number = reader_.find_part(record, {});
  const auto unnamed = number ? reader_.part(record, *number) : std::nullopt;
  if (!unnamed) {
    value.parts_ = new PartTable(*this, record);
    return record->part_count == 0 ? Look::ask : Look::hit;
  }
  value.content_type_ = unnamed->content_type;
  if (unnamed->blob == 0) {
    value.parts_ = new PartTable(*this, record);
    value.bytes_ = unnamed->bytes;
    return Look::hit;
  }
  BlobMapping* const mapping = mappings->find_surely(unnamed->blob);
  // One that is alone and mapped needs no table: its second hit allocates nothing.
  if (mapping == nullptr || record->part_count > 1) value.parts_ = new PartTable(*this, record);
  if (mapping == nullptr) return Look::unmapped;
  if (value.parts_ != nullptr) {
    value.parts_->add_view(unnamed->blob, BlobView(mappings, mapping));
  } else {
    value.mapping_ = mapping;
  }
  const auto bytes = part_within(mapping->memory.span(), *unnamed);
  if (!bytes) return Look::ask;
  value.bytes_ = *bytes;
  return Look::hit;
}

// Undoes view_of() but for the pin.
void Attachment::forget_view(Value& value) {
  if (value.mapping_ != nullptr) mappings->release(std::exchange(value.mapping_, nullptr));
  value.attachment_ = nullptr;
}

Result<void> Attachment::map_unnamed(Value& value, Milliseconds within) {
  const auto part = value.parts_->part(std::string_view(), within);
  if (!part) return part.error();
  value.bytes_ = part->bytes;
  return {};
}

// Of a record that is pinned by a copying pin, which must be cleared soon: copies what it holds, and takes views of its
// blobs. Nothing when one of those is not mapped here: without the pin it may be gone before it is asked for.
std::optional<Value> Attachment::own_copy(const protocol::RecordHeader* record) {
  auto own = std::make_unique<PartTable>();
  for (std::size_t number = 0; number < record->part_count; ++number) {
    const auto part = reader_.part(record, number);
    if (!part) return std::nullopt;
    if (part->blob == 0) {
      auto copy = PrivateMemory::copy_of(part->bytes);
      if (!copy) return std::nullopt;
      own->add(part->name, part->content_type, std::move(*copy), part->bytes.size());
      continue;
    }
    BlobView view(mappings, mappings->find_surely(part->blob));
    if (!view) return std::nullopt;
    own->add_in_blob(part->name, part->content_type, part->blob, part->offset, part->length);
    own->add_view(part->blob, std::move(view));
  }
  auto value = ValueMaker::owned(std::move(own), record->version, record->cost_us);
  if (!value) return std::nullopt;
  return std::move(*value);
}

Result<Value> Attachment::value_of(protocol::Value&& answer, std::string_view key, Milliseconds within) {
  mappings->drop_dead();
  if (answer.record == 0) return value_of_own_parts(std::move(answer), within);
  if (answer.pin < protocol::client_pins || answer.pin >= protocol::client_pins + protocol::granted_pins) {
    return malformed("the daemon answered with pin " + std::to_string(answer.pin) + ", which is not one it may grant");
  }
  const std::uint32_t fork_epoch = Process::fork_epoch();
  const protocol::RecordHeader* record = reader_.record_at(answer.record, key);
  Value value;
  const Look look = record == nullptr ? Look::ask : view_of(record, answer.pin, fork_epoch, value);
  if (look == Look::ask) {
    forget_view(value);
    protocol::release_pin(page_, answer.pin);
    return malformed("the daemon answered with record " + std::to_string(answer.record) + ", which is not one of this key");
  }
  granted_views_.add(answer.pin);
  if (look == Look::unmapped) {
    if (auto mapped = map_unnamed(value, within); !mapped) return mapped.error();
  }
  return value;
}

// Bytes that came with the answer, and blobs that were lent with it.
Result<Value> Attachment::value_of_own_parts(protocol::Value&& answer, Milliseconds within) {
  if (answer.parts.empty()) return malformed("the daemon answered with a value without parts");
  auto own = std::make_unique<PartTable>();
  for (const protocol::Part& part : answer.parts) {
    if (part.blob != 0) {
      own->add_in_blob(part.name, part.content_type, part.blob, part.offset, part.length);
      continue;
    }
    auto copy = PrivateMemory::copy_of(std::as_bytes(std::span(part.bytes)));
    if (!copy) return copy.error();
    own->add(part.name, part.content_type, std::move(*copy), part.bytes.size());
  }
  own->lent_over(AttachmentRef(this));
  return ValueMaker::owned(std::move(own), answer.version, answer.cost_us, false, within);
}

// ---- large parts ----------------------------------------------------------------------------------------------------

Result<BlobView> Attachment::map_blob(std::uint64_t blob, Milliseconds within) {
  if (process != Process::current()) {
    return Error{ErrorCode::unavailable, "this value was taken before a fork, and this part of it was not mapped by then; look the key up again"};
  }
  if (BlobMapping* const mapping = mappings->find_surely(blob)) return BlobView(mappings, mapping);
  auto memory = channel.fetch(blob, deadline_in(std::min(within, request_timeout_)));
  if (!memory) return memory.error();
  mapped_blobs.fetch_add(1, std::memory_order_relaxed);
  if (memory->blob != blob) return malformed("the daemon sent " + name_of_blob(memory->blob) + " instead of " + std::to_string(blob));
  // A file has no seals: it is taken for one only when the daemon says so.
  const auto checked = memory->file ? check_file(memory->descriptor, name_of_blob(blob), memory->bytes, owner_)
                                    : check_sealed(memory->descriptor, name_of_blob(blob), blob_seals, memory->bytes);
  if (!checked) return checked.error();
  return map_own_blob(blob, memory->descriptor, memory->bytes);
}

Result<BlobView> Attachment::map_own_blob(std::uint64_t blob, const Descriptor& memory, std::uint64_t bytes) {
  // Private: the same pages, and a shared mapping of write-sealed memory fails before Linux 6.7.
  auto mapping = map(memory, name_of_blob(blob), bytes, PROT_READ, MAP_PRIVATE);
  if (!mapping) return mapping.error();
  return BlobView(mappings, mappings->insert(blob, std::move(*mapping)));
}

// ---- views ----------------------------------------------------------------------------------------------------------

void Attachment::drop_view(std::uint32_t pin, std::uint32_t fork_epoch, BlobMapping* mapping) {
  // A view that a child inherited: its parent's pin page is not here, and the parent may still read.
  if (process != Process::current()) return;
  NodeInScope node;
  node->protect(this);  // with its pin cleared, only this keeps the attachment
  if (mapping != nullptr) {
    mappings->release(mapping, reader_.blob_live(mapping->blob.load(std::memory_order_relaxed)));
  }
  const std::uint32_t now = Process::fork_epoch();
  const bool granted = pin >= protocol::client_pins;
  if (fork_epoch == now && now % 2 == 0) [[likely]] {
    // A granted view goes before its pin: once the pin is clear, the daemon may grant it anew.
    if (granted) [[unlikely]] granted_views_.remove(pin);
    if (node->asymmetric) [[likely]] {
      protocol::release_pin(page_, pin);
    } else {
      protocol::pin_at(page_, pin).store(0, std::memory_order_seq_cst);
    }
  } else {
    retain(pin);
  }
  // After the pin is cleared, before `retired` is read: who retires does it the other way round, with a heavy barrier
  // between. One of us sees the other.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool last_of_many = retired.load(std::memory_order_seq_cst);
  node->unprotect();
  if (last_of_many) [[unlikely]] node->process->reclaim();
}

// A view that is older than the latest fork was dropped: its pin stays.
[[gnu::noinline]] void Attachment::retain(std::uint32_t pin) {
  if (retained_count_.fetch_add(1, std::memory_order_relaxed) + 1 >= retained_pins_max) {
    worn_.store(true, std::memory_order_relaxed);
  }
  retained_.add(pin);
  if (pin >= protocol::client_pins) granted_views_.remove(pin);
}

bool Attachment::has_views() const {
  // Seq_cst, all: pair with drop_view().
  const std::uint32_t lines = std::min<std::uint32_t>(lines_published_.load(std::memory_order_seq_cst), protocol::client_pin_lines);
  for (std::uint32_t pin = 0; pin < lines * protocol::pins_per_line; ++pin) {
    if (protocol::pin_at(page_, pin).load(std::memory_order_seq_cst) != 0 && !retained_.has(pin)) return true;
  }
  for (std::uint32_t pin = protocol::client_pins; pin < protocol::client_pins + protocol::granted_pins; ++pin) {
    if (granted_views_.has(pin)) return true;
  }
  return false;
}

std::uint64_t Attachment::hits() const {
  std::uint64_t sum = 0;
  const std::uint32_t lines = std::min<std::uint32_t>(lines_published_.load(std::memory_order_relaxed), protocol::client_pin_lines);
  for (std::uint32_t line = 0; line < lines; ++line) {
    for (const protocol::HitCounter& counter : page_.counters[line]) sum += counter.hits.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace onced::client_detail
