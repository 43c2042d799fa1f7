"""Failures inside the shipped contract suites show their values, as those of a test module do."""

import pytest

pytest.register_assert_rewrite("syncline.testing")
