import torch

from stylex.classifiers.accuracy import accuracy, confusion_matrix

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 5.0], [9.0, 1.0, 2.0]])
LABELS = torch.tensor([0, 2, 2, 1])


def test_rows_are_true_and_columns_predicted_classes():
    assert confusion_matrix(LOGITS, LABELS).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_accuracy_is_the_share_of_the_diagonal():
    assert accuracy(LOGITS, LABELS) == 0.5


def test_two_hundred_classes_of_which_some_have_no_image():
    labels = torch.tensor([0, 199, 199])
    matrix = confusion_matrix(torch.nn.functional.one_hot(torch.tensor([0, 199, 7]), 200), labels)
    assert matrix.shape == (200, 200) and matrix.sum() == 3
    assert matrix[0, 0] == matrix[199, 199] == matrix[199, 7] == 1
