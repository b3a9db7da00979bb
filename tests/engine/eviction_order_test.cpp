#include "engine/eviction_order.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "engine/entry.hpp"

using namespace onced::engine;

namespace {

// What the order is to be: sorted by rounded merit, and by the latest move within one.
struct NaiveOrder {
  struct Ranked {
    Entry* entry;
    long merit;
    int moved;
  };
  void put(Entry& entry, long merit) {
    take(entry);
    all.push_back({&entry, merit, ++moves});
  }
  void put_last(Entry& entry) {
    long most = all.front().merit;
    for (const Ranked& one : all) most = std::max(most, one.merit);
    put(entry, most);
  }
  void take(const Entry& entry) {
    std::erase_if(all, [&](const Ranked& one) { return one.entry == &entry; });
  }
  std::vector<Entry*> sorted() const {
    std::vector<Ranked> copy = all;
    std::sort(copy.begin(), copy.end(), [](const Ranked& a, const Ranked& b) { return std::pair(a.merit, a.moved) < std::pair(b.merit, b.moved); });
    std::vector<Entry*> entries;
    for (const Ranked& one : copy) entries.push_back(one.entry);
    return entries;
  }
  std::vector<Ranked> all;
  int moves = 0;
};

}  // namespace

TEST_CASE("the order is that of a list which is sorted again after every change") {
  CHECK(rc::check([] {
    std::vector<Entry> entries(8);
    std::vector<std::optional<EvictionOrder::Place>> places(entries.size());
    EvictionOrder order;
    NaiveOrder naive;
    const int steps = *rc::gen::inRange(0, 120);
    for (int step = 0; step < steps; ++step) {
      const auto which = static_cast<std::size_t>(*rc::gen::inRange(0, static_cast<int>(entries.size())));
      // Eighths of an octave are what merits are rounded to; halves of them are not seen.
      const int sixteenths = *rc::gen::inRange(-20, 20);
      const double log_merit = sixteenths / 16.0;
      const long merit = static_cast<long>(std::floor(sixteenths / 2.0));
      Entry& entry = entries[which];
      auto& place = places[which];
      const int action = *rc::gen::inRange(0, 4);
      if (!place) {
        place = order.insert(entry, log_merit);
        naive.put(entry, merit);
      } else if (action == 0) {
        order.erase(*place);
        place.reset();
        naive.take(entry);
      } else if (action == 1) {
        order.move_to_end(*place);
        naive.put_last(entry);
      } else {
        order.move(*place, log_merit);
        naive.put(entry, merit);
      }
      order.check_invariants();
      std::vector<Entry*> walked;
      for (Entry* one = order.least(); one != nullptr; one = order.after(*places[static_cast<std::size_t>(one - entries.data())])) walked.push_back(one);
      RC_ASSERT(walked == naive.sorted());
      RC_ASSERT(order.size() == walked.size());
    }
  }));
}

TEST_CASE("cost per byte has a logarithm for all costs and sizes") {
  CHECK(log_cost_per_byte(1024, 1) == doctest::Approx(10));
  CHECK(log_cost_per_byte(1, 1024) == doctest::Approx(-10));
  CHECK(log_cost_per_byte(0, 0) == doctest::Approx(0));
  CHECK(std::isfinite(log_cost_per_byte(~std::uint64_t{0}, 1)));
}
