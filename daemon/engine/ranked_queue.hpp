// A queue in order of arrival that knows everybody's position: entering, leaving from anywhere, "who is the n-th" and
// "the how-manieth is this one" take logarithmic time.
//
// Members stand in an array in order of their tickets; those that left are gaps. A Fenwick tree over it (P. M. Fenwick,
// "A new data structure for cumulative frequency tables", 1994) counts who is still there. When most are gaps the array is
// closed up; tickets stay good.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <onced/protocol/result.hpp>

namespace onced::engine {

template <typename Member>
class RankedQueue {
 public:
  using Ticket = std::uint64_t;  // rises with every arrival; never 0

  Ticket push(Member* member) {
    places_.push_back({++last_ticket_, member});
    const std::size_t place = places_.size();
    counts_.push_back(1 + members_up_to(place - 1) - members_up_to(place - low_bit(place)));
    ++size_;
    return last_ticket_;
  }
  // Of a member that is there.
  void remove(Ticket ticket) {
    std::size_t place = place_of(ticket);
    places_[place - 1].member = nullptr;
    --size_;
    for (; place <= places_.size(); place += low_bit(place)) --counts_[place - 1];
    if (places_.size() > 2 * size_ + 16) close_up();
  }

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::size_t places() const { return places_.size(); }  // gaps included
  // Both count from 1.
  std::size_t position(Ticket ticket) const { return members_up_to(place_of(ticket)); }
  Member* at(std::size_t position) const {
    ONCED_ASSERT(position >= 1 && position <= size_);
    std::size_t before = 0;  // places that hold fewer than `position`
    for (std::size_t step = std::bit_floor(places_.size()); step != 0; step /= 2) {
      if (before + step > places_.size() || counts_[before + step - 1] >= position) continue;
      before += step;
      position -= counts_[before - 1];
    }
    return places_[before].member;
  }
  // In order of arrival.
  template <typename Visit>
  void walk(Visit visit) const {
    for (const Place& place : places_)
      if (place.member != nullptr) visit(*place.member);
  }

 private:
  struct Place {
    Ticket ticket = 0;
    Member* member = nullptr;  // null: it has left
  };
  // Places count from 1, as Fenwick's do.
  static std::size_t low_bit(std::size_t place) { return place & (~place + 1); }
  std::size_t place_of(Ticket ticket) const {
    const auto found = std::lower_bound(places_.begin(), places_.end(), ticket,
                                        [](const Place& place, Ticket wanted) { return place.ticket < wanted; });
    ONCED_ASSERT(found != places_.end() && found->ticket == ticket && found->member != nullptr);
    return static_cast<std::size_t>(found - places_.begin()) + 1;
  }
  std::size_t members_up_to(std::size_t place) const {
    std::size_t members = 0;
    for (; place != 0; place -= low_bit(place)) members += counts_[place - 1];
    return members;
  }
  void close_up() {
    std::erase_if(places_, [](const Place& place) { return place.member == nullptr; });
    counts_.resize(places_.size());
    for (std::size_t place = 1; place <= places_.size(); ++place) counts_[place - 1] = low_bit(place);
  }

  std::vector<Place> places_;
  std::vector<std::size_t> counts_;  // of the low_bit(place) places that end with this one
  std::size_t size_ = 0;
  Ticket last_ticket_ = 0;
};

}  // namespace onced::engine
