"""Shuffled weights, and how like two maps are."""

import torch
from insight.networks import GAP, classifier

from pipeline.insight import likeness, shuffled


def test_shuffled_weights_are_the_same_numbers_in_another_order():
    module = classifier({"block": "CAP", "filters": [4, 5]}, (1, 8, 8))
    other = shuffled(module)
    for (name, one), two in zip(module.network.named_parameters(), other.network.parameters(), strict=True):
        assert torch.equal(one.flatten().sort().values, two.flatten().sort().values)
        assert one.numel() < 6 or not torch.equal(one, two), name
    again = shuffled(module)
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), again.parameters(), strict=True))


def test_the_network_itself_stays_as_it_is():
    module = classifier(GAP, (1, 4, 4))
    before = [one.clone() for one in module.parameters()]
    shuffled(module)
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_likeness_is_of_ranks():
    rising = torch.arange(9.0).reshape(1, 3, 3)
    steeper = rising.exp()
    alike = likeness(torch.cat([rising] * 3), torch.cat([steeper, -steeper, torch.ones(1, 3, 3)]))
    assert alike[0].item() == 1
    assert alike[1].item() == -1
    assert alike[2].isnan()
