import pytest
import torch

from stylex.classifiers.accuracy import accuracy, balanced_accuracy, confusion_matrix

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 5.0], [9.0, 1.0, 2.0]])
LABELS = torch.tensor([0, 2, 2, 1])


def test_rows_are_true_and_columns_predicted_classes():
    assert confusion_matrix(LOGITS, LABELS).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_accuracy_is_the_share_of_the_diagonal():
    assert accuracy(LOGITS, LABELS) == 0.5


def test_one_answer_for_all_is_as_good_as_the_classes_are_many():
    labels = torch.tensor([0] * 580 + [1] * 20)
    always = torch.tensor([[1.0, 0.0]]).repeat(600, 1)
    assert accuracy(always, labels) == pytest.approx(580 / 600) and balanced_accuracy(always, labels) == 0.5
    assert balanced_accuracy(LOGITS, LABELS) == pytest.approx((1 + 0 + 1 / 2) / 3)


def test_two_hundred_classes_of_which_some_have_no_image():
    labels = torch.tensor([0, 199, 199])
    matrix = confusion_matrix(torch.nn.functional.one_hot(torch.tensor([0, 199, 7]), 200), labels)
    assert matrix.shape == (200, 200) and matrix.sum() == 3
    assert matrix[0, 0] == matrix[199, 199] == matrix[199, 7] == 1
