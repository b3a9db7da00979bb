// Foreign bytes as a pin page, changing between the daemon's looks at it: nothing breaks, only live records are
// reported, claims stay within their bounds and never fall, and a record that an honest reader pins is neither freed
// nor changed.
//
// Input: steps of 13 bytes: what the daemon does next (1 byte), where the client scribbles (u32) and what (u64).
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <onced/protocol/segment_reader.hpp>

#include "fuzz.hpp"
#include "memory/segment_store.hpp"
#include "tests/memory/aligned_memory.hpp"

namespace {

using namespace onced;
using engine::ConnectionId;

constexpr std::size_t step_bytes = 13;
constexpr ConnectionId honest_client{1}, hostile_client{2};
const std::string value(300, 'v');

class Daemon {
 public:
  Daemon() : memory_(memory::segment_bytes_min) {
    auto created = memory::SegmentStore::create(memory_.bytes(), 1, 1);
    FUZZ_CHECK(created.ok());
    store_ = std::move(*created);
    store_->add_page(honest_client, *honest_);
    store_->add_page(hostile_client, *hostile_);
    const auto pinned = place("pinned");
    const auto reader = protocol::SegmentReader::open(store_->segment());
    held_ = reader->lookup("pinned", reader->hash("pinned"), *honest_, 0);
    FUZZ_CHECK(held_.outcome == protocol::LookupOutcome::hit);
    store_->unlink(pinned);
    live_ = place("live");
  }

  void step(std::uint8_t action, std::uint32_t where, std::uint64_t what) {
    // Any word of the page, of pins and hit table more often than of the large counters.
    constexpr std::size_t words = sizeof(protocol::PinPage) / sizeof what;
    constexpr std::size_t before_counters = offsetof(protocol::PinPage, counters) / sizeof what;
    auto* const page = reinterpret_cast<std::atomic<std::uint64_t>*>(&*hostile_);
    page[where % 4 == 0 ? where % words : where % before_counters].store(what);
    switch (action % 6) {
      case 0:
        store_->reclaim();
        break;
      case 1:
        store_->harvest_hits([&](engine::RecordRef seen) { FUZZ_CHECK(seen == live_); });
        break;
      case 2:
        check_totals();
        break;
      case 3:
        if (const auto pin = store_->grant_pin(hostile_client, live_)) {
          FUZZ_CHECK(*pin >= protocol::client_pins && *pin < protocol::client_pins + protocol::granted_pins);
          granted_ = pin;
        }
        break;
      case 4:
        if (granted_) protocol::release_pin(*hostile_, *granted_);
        break;
      case 5: {
        store_->unlink(live_);
        store_->reclaim();
        live_ = place("live");
        break;
      }
    }
    check_held();
  }

  void finish() {
    store_->remove_page(hostile_client);
    check_totals();
    store_->reclaim();
    FUZZ_CHECK(store_->usage().retired_records == 1);  // the one that is pinned
    check_held();
    protocol::release_pin(*honest_, held_.pin);
    store_->reclaim();
    FUZZ_CHECK(store_->usage().retired_records == 0);
  }

 private:
  engine::RecordRef place(std::string_view key) {
    const std::vector<protocol::Part> parts{{"", "", value}};
    engine::RecordImage image;
    image.key = key;
    image.parts = &parts;
    const auto placed = store_->place(image, std::nullopt);
    // Every former record may be held by a lie: then the arena is full, and stays so until the liar has gone.
    if (placed.outcome != engine::RecordStore::Outcome::placed) {
      store_->remove_page(hostile_client);
      store_->reclaim();
      return place(key);
    }
    return placed.record;
  }

  void check_held() const {
    const auto reader = protocol::SegmentReader::open(store_->segment());
    FUZZ_CHECK(reader->key_of(held_.record) == "pinned");
    const auto part = reader->part(held_.record, 0);
    FUZZ_CHECK(part.has_value() && part->bytes.size() == value.size());
    FUZZ_CHECK(std::memcmp(part->bytes.data(), value.data(), value.size()) == 0);
  }

  void check_totals() {
    const auto totals = store_->hit_totals();
    FUZZ_CHECK(totals.size() <= protocol::counter_functions);
    totals_.resize(protocol::counter_functions);
    for (std::size_t i = 0; i < totals.size(); ++i) {
      FUZZ_CHECK(totals[i].hits >= totals_[i].hits && totals[i].saved_us >= totals_[i].saved_us);
      FUZZ_CHECK(totals[i].hits <= memory::HitClaims::hits_max + 1);
      FUZZ_CHECK(totals[i].saved_us <= memory::HitClaims::saved_us_max);
      totals_[i] = totals[i];
    }
  }

  test::AlignedMemory memory_;
  test::HeapPinPage honest_, hostile_;
  std::unique_ptr<memory::SegmentStore> store_;
  protocol::LookupResult held_;
  engine::RecordRef live_{};
  std::optional<std::uint32_t> granted_;
  std::vector<memory::HitTotals> totals_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Daemon daemon;
  for (; size >= step_bytes; data += step_bytes, size -= step_bytes) {
    std::uint32_t where = 0;
    std::uint64_t what = 0;
    std::memcpy(&where, data + 1, sizeof where);
    std::memcpy(&what, data + 5, sizeof what);
    daemon.step(data[0], where, what);
  }
  daemon.finish();
  return 0;
}
