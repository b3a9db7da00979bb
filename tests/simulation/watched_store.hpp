// The real segment store, with an eye on the order of things within a step (L6): a value must be visible before
// anybody is told of it, and gone before anybody is told that it is.
#pragma once

#include <memory>
#include <utility>

#include "blob_model.hpp"
#include "engine/engine.hpp"
#include "memory/segment_store.hpp"
#include "schedule.hpp"

namespace onced::simulation {

class WatchedStore final : public engine::RecordStore {
 public:
  explicit WatchedStore(std::unique_ptr<memory::SegmentStore> store) : store_(std::move(store)) {}

  memory::SegmentStore& real() { return *store_; }
  // Is told which records hold which blobs.
  void tell(BlobModel& blobs) { blobs_ = &blobs; }
  // The effects of the present step, as far as it has come.
  void watch(const engine::Effects* effects) { effects_ = effects; }

  Placement place(const engine::RecordImage& image, std::optional<engine::RecordRef> replaces) override {
    const std::string key(image.key);
    require(!told(key, image.version, protocol::SignalEvent::done), "`done` was sent before its value was visible (L6)");
    Placement placement = store_->place(image, replaces);
    if (placement.outcome == Outcome::placed) {
      if (replaces) {
        versions_.erase(*replaces);
        blobs_->retired(*replaces);
      }
      blobs_->placed(placement.record, *image.parts);
      versions_[placement.record] = {key, image.version};
    }
    return placement;
  }
  void unlink(engine::RecordRef record) override {
    const auto& [key, version] = versions_.at(record);
    for (const auto event : {protocol::SignalEvent::expired, protocol::SignalEvent::evicted, protocol::SignalEvent::invalidated})
      require(!told(key, version, event), "a value's end was told before it was out of reach (L6)");
    store_->unlink(record);
    blobs_->retired(record);
    versions_.erase(record);
  }
  void set_life(engine::RecordRef record, std::uint64_t fresh_until_ms, std::uint32_t grace_ms) override {
    const auto& [key, version] = versions_.at(record);
    require(!told(key, version, protocol::SignalEvent::stale), "`stale` was sent before readers could see it (L6)");
    store_->set_life(record, fresh_until_ms, grace_ms);
  }
  void set_refreshing(engine::RecordRef record, bool refreshing) override { store_->set_refreshing(record, refreshing); }
  void set_session(std::uint64_t number, std::uint64_t generation) override { store_->set_session(number, generation); }
  std::size_t session_places() const override { return store_->session_places(); }
  bool take_session_use(std::uint64_t number) override { return store_->take_session_use(number); }
  std::size_t reclaim() override { return store_->reclaim(); }
  std::optional<std::uint32_t> grant_pin(engine::ConnectionId connection, engine::RecordRef record) override {
    return store_->grant_pin(connection, record);
  }
  std::uint64_t pinned_bytes(engine::ConnectionId connection) const override { return store_->pinned_bytes(connection); }
  std::vector<std::uint32_t> pins(std::span<const engine::RecordRef> records) const override {
    return store_->pins(records);
  }
  std::vector<engine::BlobId> blobs_in(engine::RecordRef record) const override { return store_->blobs_in(record); }
  std::vector<protocol::Part> read(engine::RecordRef record) const override { return store_->read(record); }
  void harvest_hits(const std::function<void(engine::RecordRef)>& seen) override { store_->harvest_hits(seen); }
  std::vector<HitTotals> hit_totals() const override { return store_->hit_totals(); }
  Usage usage() const override { return store_->usage(); }
  void set_time_ms(std::uint64_t time_ms) override { store_->set_time_ms(time_ms); }

  std::size_t live_records() const { return versions_.size(); }

 private:
  bool told(const std::string& key, std::uint64_t version, protocol::SignalEvent event) const {
    if (effects_ == nullptr) return false;
    for (const engine::Effect& effect : *effects_) {
      const auto* send = std::get_if<engine::Send>(&effect);
      const auto* signal = send != nullptr ? std::get_if<protocol::Signal>(&send->reply) : nullptr;
      if (signal != nullptr && signal->key == key && signal->event == event && signal->version == version) return true;
    }
    return false;
  }
  static void require(bool condition, const char* text) {
    if (!condition) throw Violation(text);
  }

  std::unique_ptr<memory::SegmentStore> store_;
  const engine::Effects* effects_ = nullptr;
  BlobModel* blobs_ = nullptr;
  std::map<engine::RecordRef, std::pair<std::string, std::uint64_t>> versions_;
};

}  // namespace onced::simulation
