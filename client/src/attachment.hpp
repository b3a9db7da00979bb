// One connection of this process and what it maps: the segment, the pin page, the channel.
//
// Ownership: made by a Connector, which is its first user. Freed by its Process when it is retired (not current any
//            more) and has no user, no view and no thread in a lookup. Freeing closes the socket: only then does the
//            daemon forget the pins. A forked child never frees, closes or writes its parent's attachments.
// Threads:   look_up() and drop_view() from any thread, without a lock; the rest says.
// Pins:      a view holds a pin of the page. Dropped normally its pin is cleared. A view that is older than the latest
//            fork may be in use in the other process too: its pin is *retained*, that is, stays set until all processes
//            that inherited the socket have closed it.
#pragma once

#include <atomic>
#include <bit>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <onced/protocol/messages.hpp>
#include <onced/protocol/pin_page.hpp>
#include <onced/protocol/segment_reader.hpp>
#include <onced/options.hpp>
#include <onced/value.hpp>

#include "channel.hpp"
#include "handshake.hpp"
#include "mapping.hpp"
#include "mapping_cache.hpp"
#include "process.hpp"
#include "reader_node.hpp"
#include "session_access.hpp"

namespace onced::client_detail {

// How look-ups end (protocol::LookupOutcome), and what must be done for a hit.
enum class Look : std::uint8_t {
  hit,
  copied,    // a hit that is the value's own: every pin was taken
  unmapped,  // a hit whose unnamed part is large and not mapped yet: map_unnamed() before it is given to anybody
  miss,
  dead,      // no daemon any more, or not connected yet
  no_pin,    // every pin of a shared line was taken: try again
  ask,       // the daemon has to say
  ended,     // there is a value, but the session has ended or has another id by now
};

// One bit for each pin of a page.
class PinSet {
 public:
  void add(std::uint32_t pin) { word(pin).fetch_or(bit(pin), std::memory_order_seq_cst); }
  void remove(std::uint32_t pin) { word(pin).fetch_and(~bit(pin), std::memory_order_seq_cst); }
  bool has(std::uint32_t pin) const { return (words_[pin / 64].load(std::memory_order_seq_cst) & bit(pin)) != 0; }

 private:
  static std::uint64_t bit(std::uint32_t pin) { return std::uint64_t{1} << (pin % 64); }
  std::atomic<std::uint64_t>& word(std::uint32_t pin) { return words_[pin / 64]; }
  // Each bit pairs with itself: set or cleared in drop_view() and granted_view(), read in has_views().
  std::atomic<std::uint64_t> words_[(protocol::client_pins + protocol::granted_pins) / 64] = {};
};

struct Attachment {
  struct Settings {
    MappingBounds mappings{std::uint64_t{4} << 30, 1024};
    Milliseconds request_timeout{5000};  // to get the memory of a large part
  };
  // Checks seals, sizes and layout of what the daemon sent, and maps it.
  static Result<std::unique_ptr<Attachment>> make(Handshake handshake, const Settings& settings);
  ~Attachment();

  // Whether the session's id is good, as far as this process sees.
  bool good(const SessionAccess& session) const { return session.epoch.load(std::memory_order_relaxed) == welcome.epoch && reader_.good(session.grant); }

  // `node` protects this attachment. A hit fills `value`; nothing else is changed by another outcome.
  Look look_up(std::string_view key, ReaderNode& node, std::optional<Value>& value);
  // The same for a key of this session.
  Look look_up_in_session(std::string_view key, ReaderNode& node, std::optional<Value>& value, const SessionAccess& session);
  // Completes a Look::unmapped, of this or another attachment: one round trip. The value keeps the attachment.
  static Result<void> map_unnamed(Value& value, Milliseconds within);

  // The value of an answer: a view of the record that the daemon pinned for us, or the bytes that came inline, or memory
  // that it lends. The caller is a user of this attachment. `within`: as for map_blob().
  Result<Value> value_of(protocol::Value&& answer, std::string_view key, Milliseconds within = Milliseconds::max());

  // A view of a published blob's memory, by its descriptor when it is not mapped yet. Takes `within` or request_timeout
  // at most; the caller keeps the attachment. Errors: unavailable (also in a child of the process that connected), malformed (it is not
  // sealed, nor a file of the daemon's that was announced as one, or not of the size it should be), out_of_memory, not_found.
  Result<BlobView> map_blob(std::uint64_t blob, Milliseconds within);
  // Memory for a large part of this key's value (empty: it is not known yet), which is `ready` to be copied or yet to be computed. Takes
  // request_timeout at most.
  Result<Channel::BlobMemory> reserve(std::uint64_t bytes, bool ready, std::string_view key) {
    return channel.reserve(bytes, ready, deadline_in(request_timeout_), key);
  }
  // As map_blob() for memory that this process has filled and sealed itself.
  Result<BlobView> map_own_blob(std::uint64_t blob, const Descriptor& memory, std::uint64_t bytes);

  // By ~Value().
  void drop_view(std::uint32_t pin, std::uint32_t fork_epoch, BlobMapping* mapping);

  // False when the daemon that owns the segment is gone.
  bool alive() const { return reader_.alive(); }
  // Whether a view of it exists in this process.
  bool has_views() const;
  // So many pins were retained that a new connection is due.
  bool worn() const { return worn_.load(std::memory_order_relaxed); }
  // Hits counted in the page so far.
  std::uint64_t hits() const;
  const protocol::SegmentReader& reader() const { return reader_; }

  Process* const process;
  const protocol::Welcome welcome;
  // Seq_cst in Process::retire(), pairs with drop_view(): whoever comes second frees.
  std::atomic<bool> retired{false};
  std::size_t users = 0;  // under the process's lock
  // Hits that were copied because every pin of the line was taken.
  std::atomic<std::uint64_t> copied_hits{0};
  // Blobs whose memory was asked for.
  std::atomic<std::uint64_t> mapped_blobs{0};

 private:
  Attachment(Mapping segment, Mapping pin_page, protocol::SegmentReader reader, std::uint32_t owner, Handshake handshake, const Settings& settings);
  void publish_lines(std::uint32_t count);
  template <typename Find>
  Look look(ReaderNode& node, std::optional<Value>& value, Find find);
  Look view_of(const protocol::RecordHeader* record, std::uint32_t pin, std::uint32_t fork_epoch, Value& value);
  Look other_look(Look look, protocol::LookupResult found, std::optional<Value>& value);
  void retain(std::uint32_t pin);
  Look view_parts(const protocol::RecordHeader* record, Value& value);
  void forget_view(Value& value);
  std::optional<Value> own_copy(const protocol::RecordHeader* record);
  Result<Value> value_of_own_parts(protocol::Value&& answer, Milliseconds within);

  const Mapping segment_;
  const Mapping pin_page_;
  const protocol::SegmentReader reader_;
  const std::uint32_t owner_;  // uid of the segment's: the daemon's
  const Milliseconds request_timeout_;
  const protocol::LineUse own_line_;  // how a thread uses a line of its own here
  protocol::PinPage& page_;
  std::atomic<std::uint32_t> lines_published_{0};  // what the page's client_lines_used was set to; never falls
  std::atomic<bool> worn_{false};
  std::atomic<std::uint32_t> retained_count_{0};
  PinSet retained_;       // pins of views that were dropped and not cleared
  PinSet granted_views_;  // granted pins that belong to a view: others may be answers that nobody has read

 public:
  const std::shared_ptr<MappingCache> mappings;
  Channel channel;  // last: ends before the page that it writes to
};

// A user of an attachment: it is not freed, its socket stays open.
class AttachmentRef {
 public:
  AttachmentRef() = default;
  explicit AttachmentRef(Attachment* attachment) : attachment_(attachment) {
    if (attachment_ != nullptr) attachment_->process->add_user(attachment_);
  }
  AttachmentRef(AttachmentRef&& other) noexcept : attachment_(std::exchange(other.attachment_, nullptr)) {}
  AttachmentRef& operator=(AttachmentRef&& other) noexcept {
    std::swap(attachment_, other.attachment_);
    return *this;
  }
  ~AttachmentRef() {
    // A child leaves its parent's count alone: the lock may be held for ever in its copy.
    if (attachment_ != nullptr && attachment_->process == Process::current()) {
      attachment_->process->remove_user(attachment_);
    }
  }
  Attachment* operator->() const { return attachment_; }
  Attachment& operator*() const { return *attachment_; }
  Attachment* get() const { return attachment_; }
  explicit operator bool() const { return attachment_ != nullptr; }

 private:
  Attachment* attachment_ = nullptr;
};

}  // namespace onced::client_detail
