#include "attachment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <onced/protocol/limits.hpp>

#include "value_maker.hpp"

namespace onced::client_detail {

namespace {

constexpr int segment_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
constexpr int pin_page_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
// Half of what one thread has: with more retained its hits would soon be copies.
constexpr std::uint32_t retained_pins_max = protocol::pins_per_line / 2;

Error malformed(std::string text) { return {ErrorCode::malformed, std::move(text)}; }

// Sealed memory of the right size, mapped: no one can cut it under our feet (SIGBUS).
Result<Mapping> map_sealed(const Descriptor& descriptor, const std::string& name, int seals, std::uint64_t bytes,
                           std::size_t bytes_min, int protection) {
  const int present = fcntl(descriptor.number(), F_GET_SEALS);
  if (present < 0 || (present & seals) != seals) {  // newer kernels add seals of their own
    return malformed(name + ": seals " + std::to_string(present) + " lack some of " + std::to_string(seals));
  }
  struct stat status{};
  if (fstat(descriptor.number(), &status) != 0) return malformed(name + ": " + std::strerror(errno));
  if (static_cast<std::uint64_t>(status.st_size) != bytes || bytes < bytes_min) {
    return malformed(name + ": " + std::to_string(status.st_size) + " bytes, the Welcome says " + std::to_string(bytes));
  }
  void* address = mmap(nullptr, bytes, protection, MAP_SHARED, descriptor.number(), 0);
  if (address == MAP_FAILED) {
    return Error{ErrorCode::out_of_memory, name + ": cannot map " + std::to_string(bytes) + " bytes: " + std::strerror(errno)};
  }
  return Mapping(address, bytes);
}

}  // namespace

Mapping::~Mapping() {
  if (address_ != nullptr) munmap(address_, bytes_);
}

Result<std::unique_ptr<Attachment>> Attachment::make(Handshake handshake) {
  ONCED_ASSERT(handshake.descriptors.size() == 2);
  auto segment = map_sealed(handshake.descriptors[0], "segment", segment_seals, handshake.welcome.segment_bytes,
                            sizeof(protocol::SegmentHeader), PROT_READ);
  if (!segment) return segment.error();
  auto pin_page = map_sealed(handshake.descriptors[1], "pin page", pin_page_seals, handshake.welcome.pin_page_bytes,
                             sizeof(protocol::PinPage), PROT_READ | PROT_WRITE);
  if (!pin_page) return pin_page.error();
  // A child must not touch its parent's pins: it does not even have them.
  madvise(pin_page->address(), pin_page->bytes(), MADV_DONTFORK);
  const auto* page = static_cast<const protocol::PinPage*>(pin_page->address());
  if (page->magic != protocol::pin_page_magic) return malformed("pin page: no magic number at its start");
  if (page->layout_version != protocol::pin_page_layout_version) {
    return Error{ErrorCode::version_mismatch, "pin page: layout version " + std::to_string(page->layout_version) +
                                                  ", this library knows " +
                                                  std::to_string(protocol::pin_page_layout_version)};
  }
  auto reader = protocol::SegmentReader::open(segment->span());
  if (!reader) return reader.error();
  return std::unique_ptr<Attachment>(
      new Attachment(std::move(*segment), std::move(*pin_page), std::move(*reader), std::move(handshake)));
}

Attachment::Attachment(Mapping segment, Mapping pin_page, protocol::SegmentReader reader, Handshake handshake)
    : process(&Process::here()),
      welcome(std::move(handshake.welcome)),
      segment_(std::move(segment)),
      pin_page_(std::move(pin_page)),
      reader_(std::move(reader)),
      page_(*static_cast<protocol::PinPage*>(pin_page_.address())),
      channel(std::move(handshake.socket), std::move(handshake.reader), &page_) {}

// ---- reading --------------------------------------------------------------------------------------------------------

protocol::LookupOutcome Attachment::look_up(std::string_view key, const ReaderNode& node, std::optional<Value>& value) {
  // Acquire: pairs with publish_lines(), which may have run in another thread.
  if (lines_published_.load(std::memory_order_acquire) <= node.line) [[unlikely]] publish_lines(node.line + 1);
  // Before the pin is claimed: a fork in between makes the view older than the fork, and its pin is kept.
  const std::uint32_t fork_epoch = Process::fork_epoch();
  const protocol::LookupResult found = reader_.lookup(key, reader_.hash(key), page_, node.line, node.use);
  if (found.outcome != protocol::LookupOutcome::hit) [[unlikely]] return found.outcome;

  Value& view = value.emplace();
  if (!view_of(found.record, found.pin, fork_epoch, view)) [[unlikely]] {
    value.reset();
    protocol::release_pin(page_, found.pin);
    return protocol::LookupOutcome::unstable;  // a damaged record: let the daemon say
  }
  if (found.copy_only) [[unlikely]] {
    Value copy = ValueMaker::owned(std::string(view.text()), view.content_type(), view.version(), view.cost_us());
    view.attachment_ = nullptr;  // the pin goes now, and without the thought about forks: no view ever had it
    protocol::release_pin(page_, found.pin);
    view = std::move(copy);
    copied_hits.fetch_add(1, std::memory_order_relaxed);
  }
  return protocol::LookupOutcome::hit;
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

// Fills `value` from a record that is pinned by `pin`. Values have one part in this version.
bool Attachment::view_of(const protocol::RecordHeader* record, std::uint32_t pin, std::uint32_t fork_epoch, Value& value) {
  const auto part = reader_.part(record, 0);
  if (!part) return false;
  value.bytes_ = part->bytes;
  value.content_type_ = part->content_type;
  value.version_ = record->version;
  value.cost_us_ = record->cost_us;
  value.attachment_ = this;
  value.pin_ = pin;
  value.fork_epoch_ = fork_epoch;
  return true;
}

Result<Value> Attachment::value_of(protocol::Value&& answer, std::string_view key) {
  if (answer.record == 0) {
    if (answer.parts.size() != 1) return malformed("the daemon answered with a value of " + std::to_string(answer.parts.size()) + " parts");
    protocol::Part& part = answer.parts.front();
    return ValueMaker::owned(std::move(part.bytes), part.content_type, answer.version, answer.cost_us);
  }
  if (answer.pin < protocol::client_pins || answer.pin >= protocol::client_pins + protocol::granted_pins) {
    return malformed("the daemon answered with pin " + std::to_string(answer.pin) + ", which is not one it may grant");
  }
  const std::uint32_t fork_epoch = Process::fork_epoch();
  const protocol::RecordHeader* record = reader_.record_at(answer.record, key);
  Value value;
  if (record == nullptr || !view_of(record, answer.pin, fork_epoch, value)) {
    protocol::release_pin(page_, answer.pin);
    return malformed("the daemon answered with record " + std::to_string(answer.record) + ", which is not one of this key");
  }
  granted_views_.add(answer.pin);
  return value;
}

// ---- views ----------------------------------------------------------------------------------------------------------

void Attachment::drop_view(std::uint32_t pin, std::uint32_t fork_epoch) {
  // A view that a child inherited: its parent's pin page is not here, and the parent may still read.
  if (process != Process::current()) return;
  NodeInScope node;
  node->protect(this);  // with its pin cleared, only this keeps the attachment
  const std::uint32_t now = Process::fork_epoch();
  const bool granted = pin >= protocol::client_pins;
  if (fork_epoch == now && now % 2 == 0) [[likely]] {
    // A granted view goes before its pin: once the pin is clear, the daemon may grant it anew.
    if (granted) granted_views_.remove(pin);
    if (node->asymmetric) {
      protocol::release_pin(page_, pin);
    } else {
      protocol::pin_at(page_, pin).store(0, std::memory_order_seq_cst);
    }
  } else {
    if (retained_count_.fetch_add(1, std::memory_order_relaxed) + 1 >= retained_pins_max) {
      worn_.store(true, std::memory_order_relaxed);
    }
    retained_.add(pin);
    if (granted) granted_views_.remove(pin);
  }
  // After the pin is cleared, before `retired` is read: who retires does it the other way round, with a heavy barrier
  // between. One of us sees the other.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const bool last_of_many = retired.load(std::memory_order_seq_cst);
  node->unprotect();
  if (last_of_many) [[unlikely]] node->process->reclaim();
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
