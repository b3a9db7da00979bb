#include "net/namespace_host.hpp"

#include <sys/random.h>

#include <optional>
#include <utility>
#include <variant>

#include "memory/pin_table.hpp"

namespace onced::net {
namespace {

LogLevel level_of(engine::Note::Level level) {
  switch (level) {
    case engine::Note::Level::debug: return LogLevel::debug;
    case engine::Note::Level::info: return LogLevel::info;
    case engine::Note::Level::warning: return LogLevel::warning;
  }
  return LogLevel::warning;
}

// Whose doing the event is; nothing: nobody's.
std::optional<engine::ConnectionId> connection_of(const engine::Event& event) {
  return std::visit([](const auto& one) -> std::optional<engine::ConnectionId> {
    if constexpr (requires { one.connection; }) return one.connection;
    else return std::nullopt;
  }, event);
}

}  // namespace

Result<std::unique_ptr<NamespaceHost>> NamespaceHost::create(std::string name, std::uint64_t memory_bytes,
                                                             memory::BlobOptions blobs, const engine::Settings& settings,
                                                             tiers::NamespaceDisk* disk, Outbox& outbox) {
  auto segment = memory::SealedMemory::create("onced-segment", memory_bytes, memory::SealedMemory::Use::segment);
  if (!segment) return segment.error();
  std::uint64_t hash_seed = 0;
  if (::getrandom(&hash_seed, sizeof(hash_seed), 0) != sizeof(hash_seed)) {
    return Error{ErrorCode::internal, "the kernel gives no random numbers"};
  }
  auto store = memory::SegmentStore::create(segment->bytes(), hash_seed, settings.epoch, std::move(blobs),
                                            memory::kernel_reader_barrier());
  if (!store) return store.error();
  engine::Settings own = settings;
  if (::getrandom(own.hash_secret.data(), own.hash_secret.size(), 0) != static_cast<ssize_t>(own.hash_secret.size())) {
    return Error{ErrorCode::internal, "the kernel gives no random numbers"};
  }
  auto life = memory::LifeKeeper::start((*store)->life_word());
  if (!life) return life.error();
  return std::unique_ptr<NamespaceHost>(new NamespaceHost(std::move(name), std::move(*segment), std::move(*store),
                                                          std::move(*life), own, disk, outbox));
}

NamespaceHost::NamespaceHost(std::string name, memory::SealedMemory segment, std::unique_ptr<memory::SegmentStore> store,
                             memory::LifeKeeper life, const engine::Settings& settings, tiers::NamespaceDisk* disk, Outbox& outbox)
    : name_(std::move(name)),
      epoch_(settings.epoch),
      segment_(std::move(segment)),
      store_(std::move(store)),
      life_(std::move(life)),
      disk_(disk),
      engine_(settings, *store_, store_->blobs(), disk),
      outbox_(outbox) {}

NamespaceHost::~NamespaceHost() {
  if (has_taken_disk_) disk_->detach();
}

void NamespaceHost::take_disk(engine::Time now) {
  if (disk_ == nullptr) return;
  engine::SessionsFound found = disk_->attach(store_->blobs());
  has_taken_disk_ = true;
  apply(std::move(found), now);
}

Result<memory::SealedMemory> NamespaceHost::enter(engine::ConnectionId connection) {
  auto page = memory::SealedMemory::create("onced-pins", sizeof(protocol::PinPage), memory::SealedMemory::Use::pin_page);
  if (!page) return page.error();
  store_->add_page(connection, memory::format_pin_page(page->bytes()));
  return std::move(*page);
}

// What borrows the segment ends first; where it is mapped does not change when its owner does.
memory::SealedMemory NamespaceHost::end(std::unique_ptr<NamespaceHost> host) {
  memory::SealedMemory segment = std::move(host->segment_);
  host.reset();
  return segment;
}

void NamespaceHost::apply(engine::Event event, engine::Time now) {
  effects_.clear();
  const std::optional<engine::ConnectionId> whose = connection_of(event);
  engine_.apply(std::move(event), now, effects_);
  for (const engine::Effect& effect : effects_) {
    if (const auto* send = std::get_if<engine::Send>(&effect)) carry_out(*send);
    else if (const auto* close = std::get_if<engine::Close>(&effect)) outbox_.close(close->connection, close->text);
    else if (const auto* note = std::get_if<engine::Note>(&effect)) outbox_.note(level_of(note->level), note->text, whose, name_);
  }
}

void NamespaceHost::carry_out(const engine::Send& send) {
  Descriptors with;
  if (send.blob != engine::BlobId{}) {
    auto descriptor = store_->blobs().descriptor(send.blob);
    ONCED_ASSERT(descriptor != nullptr);
    with = Descriptors::shared(std::move(descriptor));
  }
  // Most replies need no copy.
  if (send.parts) outbox_.send(send.connection, send.id, whole_reply(send), std::move(with));
  else outbox_.send(send.connection, send.id, send.reply, std::move(with));
}

}  // namespace onced::net
