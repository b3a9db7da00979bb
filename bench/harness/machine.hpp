// Under what conditions figures were taken: without it they say nothing.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace onced::bench {

using Facts = std::vector<std::pair<std::string, std::string>>;  // in order, for people

// Machine, kernel, commit, compiler and the versions of the peers.
Facts describe_machine();

// Share of the machine's time, 0 to 1, that the hypervisor gave to others since this object was made: the reason why
// two runs on a virtual machine differ.
class StolenTime {
 public:
  StolenTime();
  double share() const;

 private:
  struct Jiffies {
    double stolen = 0;
    double all = 0;
  };
  static Jiffies read();
  Jiffies start_;
};

}  // namespace onced::bench
